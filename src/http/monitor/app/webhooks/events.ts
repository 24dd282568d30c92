import type { EventType } from "../../../../domain/event.ts";

type Pattern = EventType | "*" | "task.*" | "batch.*";

/** The events that a webhook can get. Each type of event is here, or this does not compile. */
export const EVENTS: Record<Pattern, string> = {
  "*": "everything except progress",
  "task.*": "all of tasks",
  "task.created": "",
  "task.started": "",
  "task.completed": "",
  "task.failed": "",
  "task.cancelled": "",
  "batch.*": "all of batches except progress",
  "batch.created": "",
  "batch.started": "",
  "batch.progress": "every second while it runs",
  "batch.paused": "",
  "batch.resumed": "",
  "batch.completed": "also if some rows failed",
  "batch.failed": "",
  "batch.cancelled": "",
  "scheduled_task.executed": "a schedule fired",
  "system.alert": "something is wrong, or all clear",
};

export function isEvent(name: string): name is Pattern {
  return Object.hasOwn(EVENTS, name);
}
