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
CREATE UNIQUE INDEX `schedule_runs_id_unique` ON `schedule_runs` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `schedule_runs_by_fire` ON `schedule_runs` (`schedule`,`scheduled_at`) WHERE "schedule_runs"."cause" <> 'manual';--> statement-breakpoint
CREATE INDEX `schedule_runs_by_schedule` ON `schedule_runs` (`schedule`,`seq`);--> statement-breakpoint
CREATE INDEX `schedule_runs_open` ON `schedule_runs` (`status`,`owner`) WHERE "schedule_runs"."status" in ('pending', 'queued', 'running');--> statement-breakpoint
CREATE INDEX `schedule_runs_open_by_schedule` ON `schedule_runs` (`schedule`,`status`) WHERE "schedule_runs"."status" in ('pending', 'queued', 'running');--> statement-breakpoint
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
CREATE UNIQUE INDEX `schedules_id_unique` ON `schedules` (`id`);--> statement-breakpoint
CREATE INDEX `schedules_due` ON `schedules` (`next_run`) WHERE "schedules"."next_run" is not null;--> statement-breakpoint
CREATE INDEX `schedules_by_time` ON `schedules` (`created_at`);