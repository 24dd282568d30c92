CREATE TABLE `api_keys` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`prefix` text NOT NULL,
	`scopes` text NOT NULL,
	`origin` text NOT NULL,
	`created_at` integer NOT NULL,
	`revoked_at` integer,
	`expires_at` integer,
	`last_used_at` integer,
	`rate_limit_per_minute` integer,
	`monthly_budget_usd` real,
	`previous_hash` text,
	`previous_expires_at` integer,
	`dearest_usd` real
);
--> statement-breakpoint
CREATE TABLE `batches` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`name` text NOT NULL,
	`description` text,
	`status` text NOT NULL,
	`is_bare` integer DEFAULT false NOT NULL,
	`is_dry_run` integer DEFAULT false NOT NULL,
	`api_key` integer,
	`input_file` text,
	`output_file` text,
	`columns` text,
	`config` text NOT NULL,
	`metadata` text,
	`max_concurrency` integer,
	`run` integer DEFAULT 0 NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`started_at` integer,
	`completed_at` integer,
	`total` integer DEFAULT 0 NOT NULL,
	`completed` integer DEFAULT 0 NOT NULL,
	`failed` integer DEFAULT 0 NOT NULL,
	`cancelled` integer DEFAULT 0 NOT NULL,
	`running` integer DEFAULT 0 NOT NULL,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cost_usd` real DEFAULT 0 NOT NULL,
	`unpriced` integer DEFAULT 0 NOT NULL,
	`pause_reason` text,
	`revive` text,
	`output_status` text,
	`output_error` text,
	`output_at` integer,
	`trace` text,
	`max_cost_usd` real,
	`truncated` integer DEFAULT 0 NOT NULL,
	`generation` integer DEFAULT 0 NOT NULL,
	`payer` integer,
	`dearest_usd` real,
	`output_owner` integer,
	`ended_before` integer DEFAULT 0 NOT NULL,
	`estimated_usd` real DEFAULT 0 NOT NULL,
	`input` text,
	`cached` integer DEFAULT 0 NOT NULL,
	`repaired` integer DEFAULT 0 NOT NULL,
	`draft_owner` integer,
	`base_batch` text,
	`reused` integer DEFAULT 0 NOT NULL,
	`skipped` integer DEFAULT 0 NOT NULL,
	`input_batch` text,
	`chain_status` text,
	`chain_error` text,
	`chain_owner` integer,
	`flex_from` integer,
	`open_ai` text,
	`deadline_at` integer,
	`expired_at` integer,
	`cancelling_at` integer,
	`cached_tokens` integer DEFAULT 0 NOT NULL,
	`reasoning_tokens` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`type` text NOT NULL,
	`task` text,
	`batch` text,
	`task_seq` integer,
	`run` integer,
	`data` text,
	`trace` text
);
--> statement-breakpoint
CREATE TABLE `executions` (
	`task` integer NOT NULL,
	`run` integer NOT NULL,
	`status` text NOT NULL,
	`is_dry_run` integer NOT NULL,
	`queued_at` integer NOT NULL,
	`started_at` integer,
	`claimed_at` integer,
	`completed_at` integer NOT NULL,
	`attempts` integer NOT NULL,
	`log` text,
	`provider` text,
	`model` text,
	`request_id` text,
	`prompt_tokens` integer,
	`completion_tokens` integer,
	`cached_tokens` integer,
	`reasoning_tokens` integer,
	`cost_usd` real,
	`response` text,
	`error` text,
	`fallback_from` text,
	`is_cached` integer DEFAULT false NOT NULL,
	`adjusted` text,
	`is_truncated` integer DEFAULT false NOT NULL,
	`claim` integer,
	`is_estimated` integer DEFAULT false NOT NULL,
	`escalated_from` text,
	`is_repaired` integer DEFAULT false NOT NULL,
	PRIMARY KEY(`task`, `run`),
	FOREIGN KEY (`task`) REFERENCES `tasks`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `idempotency_keys` (
	`api_key` integer NOT NULL,
	`key` text NOT NULL,
	`fingerprint` text NOT NULL,
	`task` integer,
	`batch` integer,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`api_key`, `key`),
	FOREIGN KEY (`task`) REFERENCES `tasks`(`seq`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`batch`) REFERENCES `batches`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `nodes` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`started_at` integer NOT NULL,
	`heartbeat_at` integer NOT NULL,
	`is_runner` integer DEFAULT true NOT NULL,
	`keys` text,
	`files_id` text
);
--> statement-breakpoint
CREATE TABLE `queue` (
	`task` integer PRIMARY KEY NOT NULL,
	`lane` integer NOT NULL,
	`model` text NOT NULL,
	`priority` integer NOT NULL,
	`run` integer NOT NULL,
	`is_dry_run` integer DEFAULT false NOT NULL,
	`queued_at` integer NOT NULL,
	`run_at` integer,
	`owner` integer,
	`claim` integer,
	`claimed_at` integer,
	`started_at` integer,
	`attempt` integer DEFAULT 0 NOT NULL,
	`failures` integer DEFAULT 0 NOT NULL,
	`log` text,
	`trace` text,
	`interruptions` integer DEFAULT 0 NOT NULL,
	`payer` integer,
	`reserved_usd` real DEFAULT 0 NOT NULL,
	`flex_until` integer,
	`is_first` integer DEFAULT false NOT NULL,
	`repairs` integer DEFAULT 0 NOT NULL,
	`repair` text,
	`is_escalated` integer DEFAULT false NOT NULL,
	`earlier_prompt_tokens` integer DEFAULT 0 NOT NULL,
	`earlier_completion_tokens` integer DEFAULT 0 NOT NULL,
	`earlier_cached_tokens` integer DEFAULT 0 NOT NULL,
	`earlier_reasoning_tokens` integer DEFAULT 0 NOT NULL,
	`earlier_usd` real DEFAULT 0 NOT NULL,
	FOREIGN KEY (`task`) REFERENCES `tasks`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `task_inputs` (
	`task` integer PRIMARY KEY NOT NULL,
	`endpoint` text NOT NULL,
	`body` text NOT NULL,
	`prompt` text,
	`metadata` text,
	`cells` text,
	`cache_key` text,
	`base_task` integer,
	`base_run` integer,
	FOREIGN KEY (`task`) REFERENCES `tasks`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `tasks` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`batch` integer NOT NULL,
	`position` integer,
	`status` text NOT NULL,
	`model` text NOT NULL,
	`priority` integer NOT NULL,
	`max_retries` integer,
	`timeout_ms` integer,
	`api_key` integer,
	`run` integer DEFAULT 0 NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`started_at` integer,
	`completed_at` integer,
	`is_truncated` integer DEFAULT false NOT NULL,
	`generation` integer DEFAULT 0 NOT NULL,
	`flex_minutes` real,
	`is_cached` integer DEFAULT false NOT NULL,
	`max_repairs` integer,
	`escalate_to` text,
	`is_repaired` integer DEFAULT false NOT NULL,
	`is_skipped` integer DEFAULT false NOT NULL,
	FOREIGN KEY (`batch`) REFERENCES `batches`(`seq`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `alerts` (
	`code` text NOT NULL,
	`subject` text NOT NULL,
	`message` text NOT NULL,
	`raised_at` integer NOT NULL,
	PRIMARY KEY(`code`, `subject`)
);
--> statement-breakpoint
CREATE TABLE `api_key_usage` (
	`api_key` integer NOT NULL,
	`month` text NOT NULL,
	`tasks` integer NOT NULL,
	`prompt_tokens` integer NOT NULL,
	`completion_tokens` integer NOT NULL,
	`cost_usd` real NOT NULL,
	PRIMARY KEY(`api_key`, `month`)
);
--> statement-breakpoint
CREATE TABLE `rate_windows` (
	`api_key` integer NOT NULL,
	`minute` integer NOT NULL,
	`used` integer NOT NULL,
	`granted` integer NOT NULL,
	PRIMARY KEY(`api_key`, `minute`)
);
--> statement-breakpoint
CREATE TABLE `rollups` (
	`span` integer NOT NULL,
	`at` integer NOT NULL,
	`status` text NOT NULL,
	`model` text NOT NULL,
	`provider` text NOT NULL,
	`api_key` integer NOT NULL,
	`tasks` integer DEFAULT 0 NOT NULL,
	`duration_ms` integer DEFAULT 0 NOT NULL,
	`wait_ms` integer DEFAULT 0 NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cached_tokens` integer DEFAULT 0 NOT NULL,
	`reasoning_tokens` integer DEFAULT 0 NOT NULL,
	`cost_usd` real DEFAULT 0 NOT NULL,
	`unpriced` integer DEFAULT 0 NOT NULL,
	`b0` integer DEFAULT 0 NOT NULL,
	`b1` integer DEFAULT 0 NOT NULL,
	`b2` integer DEFAULT 0 NOT NULL,
	`b3` integer DEFAULT 0 NOT NULL,
	`b4` integer DEFAULT 0 NOT NULL,
	`b5` integer DEFAULT 0 NOT NULL,
	`b6` integer DEFAULT 0 NOT NULL,
	`b7` integer DEFAULT 0 NOT NULL,
	`b8` integer DEFAULT 0 NOT NULL,
	`b9` integer DEFAULT 0 NOT NULL,
	`b10` integer DEFAULT 0 NOT NULL,
	`b11` integer DEFAULT 0 NOT NULL,
	`b12` integer DEFAULT 0 NOT NULL,
	`b13` integer DEFAULT 0 NOT NULL,
	`b14` integer DEFAULT 0 NOT NULL,
	`b15` integer DEFAULT 0 NOT NULL,
	`b16` integer DEFAULT 0 NOT NULL,
	`b17` integer DEFAULT 0 NOT NULL,
	`b18` integer DEFAULT 0 NOT NULL,
	`b19` integer DEFAULT 0 NOT NULL,
	`b20` integer DEFAULT 0 NOT NULL,
	`b21` integer DEFAULT 0 NOT NULL,
	`b22` integer DEFAULT 0 NOT NULL,
	`b23` integer DEFAULT 0 NOT NULL,
	`b24` integer DEFAULT 0 NOT NULL,
	`b25` integer DEFAULT 0 NOT NULL,
	`b26` integer DEFAULT 0 NOT NULL,
	`b27` integer DEFAULT 0 NOT NULL,
	`b28` integer DEFAULT 0 NOT NULL,
	`b29` integer DEFAULT 0 NOT NULL,
	`b30` integer DEFAULT 0 NOT NULL,
	`b31` integer DEFAULT 0 NOT NULL,
	`b32` integer DEFAULT 0 NOT NULL,
	`b33` integer DEFAULT 0 NOT NULL,
	`b34` integer DEFAULT 0 NOT NULL,
	`b35` integer DEFAULT 0 NOT NULL,
	`b36` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`span`, `at`, `status`, `model`, `provider`, `api_key`)
);
--> statement-breakpoint
CREATE TABLE `files` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`name` text NOT NULL,
	`bytes` integer NOT NULL,
	`sha256` text NOT NULL,
	`api_key` integer,
	`created_at` integer NOT NULL,
	`purpose` text,
	`expires_at` integer
);
--> statement-breakpoint
CREATE TABLE `stream_tokens` (
	`hash` text PRIMARY KEY NOT NULL,
	`api_key` integer NOT NULL,
	`filter` text NOT NULL,
	`expires_at` integer NOT NULL,
	`secret_hash` text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE `audit_log` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`key_id` text NOT NULL,
	`action` text NOT NULL,
	`target` text,
	`request_id` text NOT NULL,
	`address` text,
	`options` text
);
--> statement-breakpoint
CREATE TABLE `leases` (
	`name` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`webhook` integer NOT NULL,
	`event` integer,
	`type` text NOT NULL,
	`task` text,
	`batch` text,
	`body` text NOT NULL,
	`at` integer NOT NULL,
	`status` text NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_at` integer,
	`last_attempt_at` integer,
	`response_status` integer,
	`latency_ms` integer,
	`error` text,
	`snippet` text,
	`log` text,
	`completed_at` integer,
	`trace` text,
	`is_replay` integer DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE `webhooks` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`url` text NOT NULL,
	`events` text NOT NULL,
	`description` text,
	`secret` text NOT NULL,
	`previous_secret` text,
	`previous_secret_until` integer,
	`is_active` integer DEFAULT true NOT NULL,
	`disabled_reason` text,
	`cursor` integer NOT NULL,
	`failing_since` integer,
	`api_key` integer,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`waiting` integer DEFAULT 0 NOT NULL,
	`retrying` integer DEFAULT 0 NOT NULL,
	`replaying` integer DEFAULT 0 NOT NULL,
	`is_open_ai` integer DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE `schedule_runs` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`schedule` integer NOT NULL,
	`cause` text NOT NULL,
	`status` text NOT NULL,
	`reason` text,
	`error` text,
	`is_dry_run` integer NOT NULL,
	`scheduled_at` integer NOT NULL,
	`fired_at` integer NOT NULL,
	`started_at` integer,
	`finished_at` integer,
	`owner` integer,
	`attempts` integer DEFAULT 0 NOT NULL,
	`retry_at` integer,
	`cancel_reason` text,
	`batch` text,
	`output_file` text,
	`total` integer DEFAULT 0 NOT NULL,
	`completed` integer DEFAULT 0 NOT NULL,
	`failed` integer DEFAULT 0 NOT NULL,
	`cancelled` integer DEFAULT 0 NOT NULL,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cost_usd` real,
	FOREIGN KEY (`schedule`) REFERENCES `schedules`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `schedules` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`name` text NOT NULL,
	`description` text,
	`expression` text NOT NULL,
	`timezone` text NOT NULL,
	`input_file` text NOT NULL,
	`output_file` text,
	`is_dry_run` integer NOT NULL,
	`config` text NOT NULL,
	`overlap_policy` text NOT NULL,
	`catch_up_window_ms` integer NOT NULL,
	`pause_after_failures` integer,
	`api_key` integer NOT NULL,
	`is_active` integer NOT NULL,
	`pause_reason` text,
	`revision` integer DEFAULT 0 NOT NULL,
	`next_run` integer,
	`last_run` integer,
	`last_run_status` text,
	`failures_in_a_row` integer DEFAULT 0 NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `cached_answers` (
	`key` text PRIMARY KEY NOT NULL,
	`task` integer NOT NULL,
	`run` integer NOT NULL,
	FOREIGN KEY (`task`,`run`) REFERENCES `executions`(`task`,`run`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `stored_bytes` (
	`api_key` integer PRIMARY KEY NOT NULL,
	`files` integer DEFAULT 0 NOT NULL,
	`requests` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE `audit_floor` (
	`before` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `timeline` (
	`id` integer PRIMARY KEY NOT NULL,
	`epoch` integer NOT NULL,
	`broken_after` integer NOT NULL,
	`continued_after` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `changes` (
	`topic` text PRIMARY KEY NOT NULL,
	`count` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `deltas` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`node` integer NOT NULL,
	`task` integer NOT NULL,
	`offset` integer NOT NULL,
	`text` text NOT NULL,
	`at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `followed` (
	`task` integer NOT NULL,
	`node` integer NOT NULL,
	PRIMARY KEY(`task`, `node`)
);
--> statement-breakpoint
CREATE TABLE `loose_files` (
	`id` text PRIMARY KEY NOT NULL,
	`node` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_id_unique` ON `api_keys` (`id`);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_hash_unique` ON `api_keys` (`hash`);
--> statement-breakpoint
CREATE UNIQUE INDEX `batches_id_unique` ON `batches` (`id`);
--> statement-breakpoint
CREATE INDEX `batches_by_status` ON `batches` (`status`,`created_at`);
--> statement-breakpoint
CREATE INDEX `batches_by_time` ON `batches` (`created_at`);
--> statement-breakpoint
CREATE UNIQUE INDEX `idempotency_by_task` ON `idempotency_keys` (`task`) WHERE "idempotency_keys"."task" is not null;
--> statement-breakpoint
CREATE UNIQUE INDEX `idempotency_by_batch` ON `idempotency_keys` (`batch`) WHERE "idempotency_keys"."batch" is not null;
--> statement-breakpoint
CREATE INDEX `queue_ready` ON `queue` (`lane`,`model`,`priority`,`queued_at`) WHERE "queue"."owner" is null and "queue"."run_at" is null;
--> statement-breakpoint
CREATE INDEX `queue_waiting` ON `queue` (`run_at`) WHERE "queue"."run_at" is not null;
--> statement-breakpoint
CREATE INDEX `queue_claimed` ON `queue` (`owner`,`claim`) WHERE "queue"."owner" is not null;
--> statement-breakpoint
CREATE UNIQUE INDEX `tasks_id_unique` ON `tasks` (`id`);
--> statement-breakpoint
CREATE INDEX `tasks_by_time` ON `tasks` (`created_at`);
--> statement-breakpoint
CREATE INDEX `tasks_by_status` ON `tasks` (`status`,`created_at`);
--> statement-breakpoint
CREATE INDEX `tasks_by_position` ON `tasks` (`batch`,`position`) WHERE "tasks"."position" is not null;
--> statement-breakpoint
CREATE INDEX `tasks_by_batch_status` ON `tasks` (`batch`,`status`,`position`);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_by_previous_hash` ON `api_keys` (`previous_hash`) WHERE "api_keys"."previous_hash" is not null;
--> statement-breakpoint
CREATE UNIQUE INDEX `files_id_unique` ON `files` (`id`);
--> statement-breakpoint
CREATE INDEX `batches_by_output` ON `batches` (`output_status`) WHERE "batches"."output_status" in ('pending', 'writing');
--> statement-breakpoint
CREATE UNIQUE INDEX `deliveries_once` ON `webhook_deliveries` (`webhook`,`event`) WHERE "webhook_deliveries"."event" is not null;
--> statement-breakpoint
CREATE INDEX `deliveries_by_webhook` ON `webhook_deliveries` (`webhook`,`seq`);
--> statement-breakpoint
CREATE INDEX `deliveries_due` ON `webhook_deliveries` (`webhook`,`next_at`) WHERE "webhook_deliveries"."next_at" is not null;
--> statement-breakpoint
CREATE UNIQUE INDEX `webhooks_id_unique` ON `webhooks` (`id`);
--> statement-breakpoint
CREATE INDEX `webhooks_by_time` ON `webhooks` (`created_at`);
--> statement-breakpoint
CREATE UNIQUE INDEX `schedule_runs_id_unique` ON `schedule_runs` (`id`);
--> statement-breakpoint
CREATE UNIQUE INDEX `schedule_runs_by_fire` ON `schedule_runs` (`schedule`,`scheduled_at`) WHERE "schedule_runs"."cause" <> 'manual';
--> statement-breakpoint
CREATE INDEX `schedule_runs_by_schedule` ON `schedule_runs` (`schedule`,`seq`);
--> statement-breakpoint
CREATE INDEX `schedule_runs_open` ON `schedule_runs` (`status`,`owner`) WHERE "schedule_runs"."status" in ('pending', 'queued', 'running');
--> statement-breakpoint
CREATE INDEX `schedule_runs_open_by_schedule` ON `schedule_runs` (`schedule`,`status`) WHERE "schedule_runs"."status" in ('pending', 'queued', 'running');
--> statement-breakpoint
CREATE UNIQUE INDEX `schedules_id_unique` ON `schedules` (`id`);
--> statement-breakpoint
CREATE INDEX `schedules_due` ON `schedules` (`next_run`) WHERE "schedules"."next_run" is not null;
--> statement-breakpoint
CREATE INDEX `schedules_by_time` ON `schedules` (`created_at`);
--> statement-breakpoint
CREATE INDEX `cached_answers_by_execution` ON `cached_answers` (`task`,`run`);
--> statement-breakpoint
CREATE INDEX `batches_unswept` ON `batches` (`status`) WHERE ("batches"."status" = 'cancelled' AND "batches"."completed_at" IS NULL) OR "batches"."revive" IS NOT NULL;
--> statement-breakpoint
CREATE INDEX `queue_reserved` ON `queue` (`payer`,`reserved_usd`) WHERE "queue"."owner" is not null and "queue"."reserved_usd" > 0;
--> statement-breakpoint
CREATE INDEX `queue_flex` ON `queue` (`flex_until`) WHERE "queue"."flex_until" is not null and "queue"."owner" is null;
--> statement-breakpoint
CREATE INDEX `deliveries_fresh` ON `webhook_deliveries` (`webhook`,`is_replay`,`event`) WHERE "webhook_deliveries"."status" = 'pending' and "webhook_deliveries"."next_at" is null;
--> statement-breakpoint
CREATE INDEX `audit_by_time` ON `audit_log` (`at`);
--> statement-breakpoint
CREATE INDEX `audit_by_action` ON `audit_log` (`action`,`at`);
--> statement-breakpoint
CREATE INDEX `audit_by_key` ON `audit_log` (`key_id`,`at`);
--> statement-breakpoint
CREATE INDEX `audit_by_target` ON `audit_log` (`target`,`at`);
--> statement-breakpoint
CREATE INDEX `batches_by_name` ON `batches` (`name`);
--> statement-breakpoint
CREATE INDEX `files_by_time` ON `files` (`created_at`);
--> statement-breakpoint
CREATE INDEX `files_by_name` ON `files` (`name`);
--> statement-breakpoint
CREATE INDEX `queue_waiting_by_lane` ON `queue` (`lane`) WHERE "queue"."run_at" is not null;
--> statement-breakpoint
CREATE INDEX `schedules_by_name` ON `schedules` (`name`);
--> statement-breakpoint
CREATE INDEX `stream_tokens_by_end` ON `stream_tokens` (`expires_at`);
--> statement-breakpoint
CREATE INDEX `tasks_by_batch_id` ON `tasks` (`batch`,`id`);
--> statement-breakpoint
CREATE INDEX `tasks_truncated` ON `tasks` (`batch`) WHERE "tasks"."is_truncated";
--> statement-breakpoint
CREATE INDEX `tasks_cached` ON `tasks` (`batch`) WHERE "tasks"."is_cached";
--> statement-breakpoint
CREATE INDEX `tasks_repaired` ON `tasks` (`batch`) WHERE "tasks"."is_repaired";
--> statement-breakpoint
CREATE INDEX `batches_by_chain` ON `batches` (`chain_status`,`input_batch`) WHERE "batches"."chain_status" in ('waiting', 'made');
--> statement-breakpoint
CREATE INDEX `tasks_skipped` ON `tasks` (`batch`) WHERE "tasks"."is_skipped";
--> statement-breakpoint
CREATE TABLE `live_calls` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`node` integer NOT NULL,
	`payer` integer NOT NULL,
	`usd` real NOT NULL
);
--> statement-breakpoint
CREATE INDEX `live_calls_by_payer` ON `live_calls` (`payer`);
--> statement-breakpoint
CREATE INDEX `batches_being_checked` ON `batches` (`chain_status`) WHERE "batches"."chain_status" = 'checking';
--> statement-breakpoint
CREATE INDEX `batches_by_deadline` ON `batches` (`deadline_at`) WHERE "batches"."deadline_at" is not null and "batches"."status" in ('pending', 'running', 'paused');
--> statement-breakpoint
CREATE INDEX `batches_of_files` ON `batches` (`created_at`) WHERE "batches"."input_file" is not null;
--> statement-breakpoint
CREATE INDEX `batches_with_results` ON `batches` (`completed_at`) WHERE "batches"."open_ai" is not null and "batches"."completed_at" is not null;
--> statement-breakpoint
CREATE INDEX `files_by_expiry` ON `files` (`expires_at`) WHERE "files"."expires_at" is not null;
--> statement-breakpoint
CREATE INDEX `events_of_alerts` ON `events` (`type`) WHERE type = 'system.alert';
--> statement-breakpoint
CREATE TRIGGER `audit_is_not_changed` BEFORE UPDATE ON `audit_log` BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_key` AFTER INSERT ON `api_keys`
BEGIN
  INSERT INTO `stored_bytes` (`api_key`) VALUES (new.`seq`);
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_file` AFTER INSERT ON `files`
BEGIN
  UPDATE `stored_bytes` SET `files` = `files` + new.`bytes` WHERE `api_key` = new.`api_key`;
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_file` AFTER DELETE ON `files`
BEGIN
  UPDATE `stored_bytes` SET `files` = `files` - old.`bytes` WHERE `api_key` = old.`api_key`;
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_request` AFTER INSERT ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` + octet_length(new.`body`)
    + coalesce(octet_length(new.`prompt`), 0) + coalesce(octet_length(new.`metadata`), 0)
    + coalesce(octet_length(new.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = new.`task`);
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_changed_request` AFTER UPDATE OF `body`, `prompt`, `metadata`, `cells` ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` + octet_length(new.`body`) - octet_length(old.`body`)
    + coalesce(octet_length(new.`prompt`), 0) - coalesce(octet_length(old.`prompt`), 0)
    + coalesce(octet_length(new.`metadata`), 0) - coalesce(octet_length(old.`metadata`), 0)
    + coalesce(octet_length(new.`cells`), 0) - coalesce(octet_length(old.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = new.`task`);
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_request` BEFORE DELETE ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` - octet_length(old.`body`)
    - coalesce(octet_length(old.`prompt`), 0) - coalesce(octet_length(old.`metadata`), 0)
    - coalesce(octet_length(old.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = old.`task`);
END;
--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_task` BEFORE DELETE ON `tasks`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` - coalesce((
    SELECT octet_length(`body`) + coalesce(octet_length(`prompt`), 0)
      + coalesce(octet_length(`metadata`), 0) + coalesce(octet_length(`cells`), 0)
    FROM `task_inputs` WHERE `task` = old.`seq`), 0)
  WHERE `api_key` = old.`api_key`;
END;
--> statement-breakpoint
CREATE TRIGGER `audit_is_not_deleted` BEFORE DELETE ON `audit_log` WHEN old.`at` >= (SELECT `before` FROM `audit_floor`)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `deliveries_are_added` AFTER INSERT ON `webhook_deliveries` WHEN new.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` + 1,
    `retrying` = `retrying` + (new.`next_at` IS NOT NULL),
    `replaying` = `replaying` + (new.`is_replay` AND new.`next_at` IS NULL)
  WHERE `seq` = new.`webhook`;
END;
--> statement-breakpoint
CREATE TRIGGER `deliveries_are_changed` AFTER UPDATE OF `status`, `next_at`, `is_replay` ON `webhook_deliveries`
WHEN old.`status` <> new.`status` OR (old.`next_at` IS NULL) <> (new.`next_at` IS NULL) OR old.`is_replay` <> new.`is_replay`
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` + (new.`status` = 'pending') - (old.`status` = 'pending'),
    `retrying` = `retrying` + (new.`next_at` IS NOT NULL) - (old.`next_at` IS NOT NULL),
    `replaying` = `replaying` + (new.`status` = 'pending' AND new.`is_replay` AND new.`next_at` IS NULL)
      - (old.`status` = 'pending' AND old.`is_replay` AND old.`next_at` IS NULL)
  WHERE `seq` = new.`webhook`;
END;
--> statement-breakpoint
CREATE TRIGGER `deliveries_are_removed` AFTER DELETE ON `webhook_deliveries` WHEN old.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` - 1,
    `retrying` = `retrying` - (old.`next_at` IS NOT NULL),
    `replaying` = `replaying` - (old.`is_replay` AND old.`next_at` IS NULL)
  WHERE `seq` = old.`webhook`;
END;
--> statement-breakpoint
CREATE TRIGGER `audit_is_not_replaced` BEFORE INSERT ON `audit_log` WHEN EXISTS (SELECT 1 FROM `audit_log` WHERE `id` = new.`id`)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
--> statement-breakpoint
INSERT INTO `batches` (`seq`, `id`, `name`, `status`, `config`, `created_at`, `updated_at`) VALUES (0, '', 'Single tasks', 'running', '{}', 0, 0);
--> statement-breakpoint
INSERT INTO `audit_floor` (`before`) VALUES (0);
