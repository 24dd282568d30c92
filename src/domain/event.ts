import { nearestName } from "../lib/near-names.ts";

/** The types of events in the log. */
export const EVENT_TYPES = [
  "task.created",
  "task.started",
  "task.completed",
  "task.failed",
  "task.cancelled",
  "batch.created",
  "batch.started",
  "batch.progress",
  "batch.paused",
  "batch.resumed",
  "batch.completed",
  "batch.failed",
  "batch.cancelled",
  "scheduled_task.executed",
  "system.alert",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Sent to live readers only: a piece of an answer that is being streamed. */
export const DELTA = "task.delta";

/** What the test of a webhook sends. It is not in the log. */
export const WEBHOOK_TEST = "webhook.test";

/** Documented names for other types, which are kept for compatibility. */
const ALIASES = new Map<string, string>([["batch.finished", "batch.completed"]]);

/**
 * The types that a pattern matches (`task.completed`, `task.*`, `*`, `batch.finished`); none if it matches nothing.
 */
export function typesOf<T extends string>(pattern: string, known: readonly T[]): T[] {
  const wanted = ALIASES.get(pattern) ?? pattern;
  if (wanted === "*") return [...known];
  if (wanted.endsWith(".*")) return known.filter((type) => type.startsWith(wanted.slice(0, -1)));
  return known.filter((type) => type === wanted);
}

/** Why a pattern is refused that matches none of these types. */
export function unknownType(pattern: unknown, known: readonly string[]): string {
  const names = [...known, ...ALIASES.keys()];
  const near = typeof pattern === "string" ? nearestName(pattern, names) : undefined;
  return near === undefined
    ? `is not an event type; there are ${known.join(", ")}, and patterns such as task.* and *`
    : `is not an event type; did you mean ${near}?`;
}

/** A row of the log. */
export type LoggedEvent = {
  id: number;
  at: number;
  type: EventType;
  task: string | null;
  batch: string | null;
  /** The public id of the execution that it is about. */
  execution: string | null;
  data: string | null;
  /** Trace context of the request that led to it, if tracing is on. */
  trace: string | null;
};

const STATUSES: Partial<Record<EventType, string>> = {
  "task.created": "pending",
  "task.started": "running",
  "task.completed": "completed",
  "task.failed": "failed",
  "task.cancelled": "cancelled",
  "batch.created": "pending",
  "batch.started": "running",
  "batch.progress": "running",
  "batch.paused": "paused",
  "batch.resumed": "running",
  "batch.completed": "completed",
  "batch.failed": "failed",
  "batch.cancelled": "cancelled",
};

/**
 * The body that streams and webhooks send, as JSON: `{type, timestamp, data}` (Standard Webhooks). It is small on
 * purpose (ids, a status, counts); clients fetch the answers.
 */
export function toEventBody(event: LoggedEvent): string {
  const { type, at, task, batch, execution, data } = event;
  const status = STATUSES[type];
  const facts: string[] = [];
  if (task !== null) facts.push(`"taskId":${JSON.stringify(task)}`);
  if (batch !== null) facts.push(`"batchId":${JSON.stringify(batch)}`);
  if (execution !== null) facts.push(`"executionId":"${execution}"`);
  if (status !== undefined) facts.push(`"status":"${status}"`);
  if (data !== null && data.length > 2) facts.push(data.slice(1, -1));
  return `{"type":"${type}","timestamp":"${new Date(at).toISOString()}","data":{${facts.join()}}}`;
}

/** Whether the task or batch has come to an end with this event, for now: it may be executed again. */
export function isEnd(type: EventType): boolean {
  return /^(task|batch)\.(completed|failed|cancelled)$/.test(type);
}
