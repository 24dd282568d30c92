/** Everything that `system.alert` can be about, and what its `subject` is. */
export const ALERT_CODES = [
  /** Calls to a provider fail, all of them; the provider's name. */
  "provider.down",
  /** A provider refuses calls because the account's quota is used up; the provider's name, and which of several keys. */
  "provider.quota_exceeded",
  /** A provider refuses its API key; the same. */
  "provider.unauthorized",
  /** Tasks are ready, and none is started. */
  "queue.stuck",
  /** The disk of the data folder is nearly full. */
  "disk.nearly_full",
  /** The file of the database is damaged. */
  "database.damaged",
  /** Counters differ from the rows they count; the batch. */
  "invariant.violated",
  /** A webhook was disabled because it kept failing or said that it is gone; the webhook. */
  "webhook.disabled",
  /** A schedule was paused because its runs kept failing; the schedule. */
  "schedule.paused",
  /** An API key has spent its budget; the key. */
  "budget.exceeded",
] as const;
export type AlertCode = (typeof ALERT_CODES)[number];
