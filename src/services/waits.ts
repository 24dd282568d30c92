import { getLogger } from "@logtape/logtape";

import type { Context, Waits } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { readRows } from "../store/rows.ts";
import { findOpenTasks } from "../store/tasks.ts";

/** Where a hint was lost. */
const POLL_MS = 500;
const RETRY = { retryMs: 500, maxRetryMs: 5000 };

/**
 * Those who wait for tasks to end, all of them together: one look at the database serves all, when this
 * process has settled a task that is waited for or something has happened at another, and otherwise
 * every half second as long as somebody waits. A database that cannot be asked is asked again later; meanwhile they wait on.
 */
export function createWaits({
  client,
  clock,
  signals,
}: Pick<Context, "client" | "clock" | "signals">): Waits {
  const waiting = new Map<number, Set<() => void>>();
  const unsubscribe: (() => void)[] = [];
  const loop = createLoop({
    log: getLogger(["gptrunner", "waits"]),
    complaint: "Whether tasks have ended that are waited for could not be read",
    clock,
    work: look,
    ...RETRY,
  });

  async function look(): Promise<{ inMs: number }> {
    const tasks = [...waiting.keys()];
    if (tasks.length === 0) return { inMs: Infinity };
    const open = new Set((await readRows(client, findOpenTasks(tasks))).map(({ seq }) => seq));
    // One that is gone has ended, too.
    for (const task of tasks) if (!open.has(task)) for (const end of waiting.get(task) ?? []) end();
    return { inMs: waiting.size > 0 ? POLL_MS : Infinity };
  }

  return {
    untilEnded(task, ms, signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const others = waiting.get(task) ?? new Set();
      waiting.set(task, others.add(end));
      const cancel = clock.setTimeout(end, ms);
      signal?.addEventListener("abort", end);
      if (signal?.aborted) end();
      else {
        loop.nudge();
        signals.emit("listening", undefined);
      }
      function end(): void {
        cancel();
        signal?.removeEventListener("abort", end);
        others.delete(end);
        if (others.size === 0 && waiting.get(task) === others) waiting.delete(task);
        resolve();
      }
      return promise;
    },
    size: () => waiting.size,
    start() {
      unsubscribe.push(
        signals.on("settled", ({ tasks }) => {
          if (tasks.some((task) => waiting.has(task))) loop.nudge();
        }),
        signals.on("elsewhere", () => {
          if (waiting.size > 0) loop.nudge();
        }),
      );
      loop.start();
      if (waiting.size > 0) loop.nudge();
    },
    async stop() {
      for (const end of unsubscribe) end();
      await loop.stop();
    },
  };
}
