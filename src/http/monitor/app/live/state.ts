import { batch, computed, signal } from "@preact/signals";

import type { Live, LiveBatch } from "../api/wire.ts";

/** The last state from the server. All of its figures are of the same moment. */
export const live = signal<Live | undefined>(undefined);
export const connection = signal<"opening" | "live" | "down">("opening");

/** A part of the live state, which changes only if its content does. */
const part = <K extends keyof Live>(name: K) => computed(() => live.value?.[name]);

export const tasks = part("tasks");
export const usage = part("usage");
export const rates = part("rates");
export const queue = part("queue");
export const system = part("system");
export const calls = part("calls");
export const models = part("models");
export const providers = part("providers");
export const nodes = part("nodes");
export const schedules = part("schedules");
export const webhooks = part("webhooks");
export const keys = part("keys");
export const files = part("files");
export const audit = part("audit");
export const alerts = part("alerts");
export const health = part("health");
export const batches = part("batches");

/*
 * These change whenever a task has ended or failed. The sums of `tasks` do not: a task that is run again between two
 * states leaves them as they were.
 */
export const failures = computed(() => countOf("failed"));
export const ends = computed(
  () => `${countOf("completed")} ${failures.value} ${tasks.value?.cancelled}`,
);

const countOf = (status: "completed" | "failed"): number =>
  Object.values(models.value ?? {}).reduce((sum, model) => sum + model[status], 0);

/** The batches, the newest first. */
export const newestBatches = computed((): [string, LiveBatch][] | undefined => {
  const all = batches.value;
  return (
    all && Object.entries(all).toSorted(([, a], [, b]) => (a.createdAt < b.createdAt ? 1 : -1))
  );
});

/** The current time for displayed ages; advances by seconds. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

/** Sets a new state, and the time of displayed ages. */
export function take(next: Live | undefined): void {
  batch(() => {
    live.value = next;
    now.value = Date.now();
  });
}
