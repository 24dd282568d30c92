/** The codes of `system.alert`. Each comment says when the alert opens, and what its `subject` names. */
export const ALERT_CODES = [
  /** All calls to a provider fail. Subject: the provider. */
  "provider.down",
  /**
   * A provider refuses calls because the account's quota is used up. Subject: the provider, and the key if it has
   * several.
   */
  "provider.quota_exceeded",
  /** A provider refuses its API key. Subject: the provider, and the key if it has several. */
  "provider.unauthorized",
  /** Tasks are ready, and none is started. */
  "queue.stuck",
  /** The disk of the data folder is nearly full. */
  "disk.nearly_full",
  /** The file of the database is damaged. */
  "database.damaged",
  /** Counters differ from the rows that they count. Subject: the batch. */
  "invariant.violated",
  /** A webhook was disabled because it kept failing or answered 410 Gone. Subject: the webhook. */
  "webhook.disabled",
  /** A schedule was paused because its runs kept failing. Subject: the schedule. */
  "schedule.paused",
  /** An API key has spent its budget. Subject: the key. */
  "budget.exceeded",
] as const;
export type AlertCode = (typeof ALERT_CODES)[number];
