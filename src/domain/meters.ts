/** The metrics for Prometheus, without the prefix `gptrunner_`. Counters belong to one process; gauges that say so belong to the whole database. */
export const METERS = {
  build_info: { kind: "gauge", help: "1, labelled with the version" },
  tasks_total: { kind: "counter", help: "Runs that this process ended, by status" },
  task_duration_seconds: {
    kind: "histogram",
    help: "From the first attempt's start to the last attempt's end of runs that this process ended",
  },
  task_attempts_total: { kind: "counter", help: "Attempts of the runs that this process ended" },
  provider_requests_total: {
    kind: "counter",
    help: "Calls that ended, by provider, model and HTTP status, or cause where there was no answer",
  },
  cached_answers_total: {
    kind: "counter",
    help: "Runs that were given the answer to an identical request instead of a call",
  },
  provider_available: {
    kind: "gauge",
    help: "1 where calls go to a provider, 0 where its circuit breaker keeps them from it",
  },
  provider_throttle_wait_seconds: {
    kind: "gauge",
    help: "How long the pacer makes the next call of a model wait",
  },
  tokens_total: { kind: "counter", help: "Tokens by type" },
  cost_usd_total: { kind: "counter", help: "Cost of the runs that this process ended, in USD" },
  calls_in_flight: { kind: "gauge", help: "Calls of this process that are in progress" },
  queue_depth: { kind: "gauge", help: "Tasks that wait to be started, in the whole database" },
  queue_oldest_age_seconds: {
    kind: "gauge",
    help: "How long the oldest that could start has waited, in the whole database",
  },
  stored_tasks: { kind: "gauge", help: "Tasks in the whole database, by status" },
  open_alerts: { kind: "gauge", help: "Alerts that are open, by code, in the whole database" },
  disk_free_bytes: { kind: "gauge", help: "Free space on the disk of the data folder" },
  database_available: {
    kind: "gauge",
    help: "1 where the database answered this process just now, 0 where it did not; what only the database knows is left out then",
  },
  database_size_bytes: {
    kind: "gauge",
    help: "Size of the database; of a local file, without its write-ahead log",
  },
  nodes_living: {
    kind: "gauge",
    help: "Processes that have proved within LEASE_SECONDS that they live, in the whole database",
  },
  webhook_deliveries_total: { kind: "counter", help: "Attempts to deliver, by outcome" },
  schedule_fires_total: { kind: "counter", help: "Fires of schedules, by outcome" },
  invariant_violations_total: {
    kind: "counter",
    help: "Counters that were found to differ from the rows they count",
  },
  http_requests_total: { kind: "counter", help: "Requests answered, by method and status" },
  connections_open: { kind: "gauge", help: "Requests and event streams that are open" },
  event_loop_delay_seconds: {
    kind: "histogram",
    help: "How late the event loop came to a timer that is due fifty times a second",
  },
  event_loop_lag_seconds: { kind: "gauge", help: "The longest recent delay of timers" },
  process_cpu_ratio: { kind: "gauge", help: "Share of all processors that this process uses" },
  process_memory_ratio: { kind: "gauge", help: "Share of the memory that it may have" },
  process_uptime_seconds: { kind: "gauge", help: "Since this process started" },
} as const;
export type MeterName = keyof typeof METERS;
