CREATE TABLE `api_keys` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`prefix` text NOT NULL,
	`scopes` text NOT NULL,
	`origin` text NOT NULL,
	`created_at` integer NOT NULL,
	`revoked_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_id_unique` ON `api_keys` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_hash_unique` ON `api_keys` (`hash`);--> statement-breakpoint
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
	`unpriced` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `batches_id_unique` ON `batches` (`id`);--> statement-breakpoint
CREATE INDEX `batches_by_status` ON `batches` (`status`,`created_at`);--> statement-breakpoint
CREATE INDEX `batches_by_time` ON `batches` (`created_at`);--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`type` text NOT NULL,
	`task` text,
	`batch` text,
	`task_seq` integer,
	`run` integer,
	`data` text
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
CREATE UNIQUE INDEX `idempotency_by_task` ON `idempotency_keys` (`task`) WHERE "idempotency_keys"."task" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX `idempotency_by_batch` ON `idempotency_keys` (`batch`) WHERE "idempotency_keys"."batch" is not null;--> statement-breakpoint
CREATE TABLE `nodes` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`started_at` integer NOT NULL,
	`heartbeat_at` integer NOT NULL
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
	FOREIGN KEY (`task`) REFERENCES `tasks`(`seq`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `queue_ready` ON `queue` (`lane`,`model`,`priority`,`queued_at`) WHERE "queue"."owner" is null and "queue"."run_at" is null;--> statement-breakpoint
CREATE INDEX `queue_waiting` ON `queue` (`run_at`) WHERE "queue"."run_at" is not null;--> statement-breakpoint
CREATE INDEX `queue_claimed` ON `queue` (`owner`,`claim`) WHERE "queue"."owner" is not null;--> statement-breakpoint
CREATE TABLE `task_inputs` (
	`task` integer PRIMARY KEY NOT NULL,
	`endpoint` text NOT NULL,
	`body` text NOT NULL,
	`prompt` text,
	`metadata` text,
	`cells` text,
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
	FOREIGN KEY (`batch`) REFERENCES `batches`(`seq`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `tasks_id_unique` ON `tasks` (`id`);--> statement-breakpoint
CREATE INDEX `tasks_by_time` ON `tasks` (`created_at`);--> statement-breakpoint
CREATE INDEX `tasks_by_status` ON `tasks` (`status`,`created_at`);--> statement-breakpoint
CREATE INDEX `tasks_by_position` ON `tasks` (`batch`,`position`) WHERE "tasks"."position" is not null;--> statement-breakpoint
CREATE INDEX `tasks_by_batch_status` ON `tasks` (`batch`,`status`,`position`);