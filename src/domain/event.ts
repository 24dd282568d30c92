/** Everything that the log can tell. */
export type EventType =
  | "task.created"
  | "task.started"
  | "task.completed"
  | "task.failed"
  | "task.cancelled"
  | "batch.created"
  | "batch.started"
  | "batch.completed"
  | "batch.failed"
  | "batch.cancelled"
  | "batch.paused"
  | "batch.resumed"
  | "batch.progress"
  | "scheduled_task.executed"
  | "system.alert";
