CREATE TABLE `cached_answers` (
	`key` text PRIMARY KEY NOT NULL,
	`task` integer NOT NULL,
	`run` integer NOT NULL,
	FOREIGN KEY (`task`,`run`) REFERENCES `executions`(`task`,`run`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `cached_answers_by_execution` ON `cached_answers` (`task`,`run`);--> statement-breakpoint
ALTER TABLE `events` ADD `trace` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `fallback_from` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `is_cached` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `task_inputs` ADD `cache_key` text;--> statement-breakpoint
ALTER TABLE `webhook_deliveries` ADD `trace` text;