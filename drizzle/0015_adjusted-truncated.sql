ALTER TABLE `batches` ADD `truncated` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `executions` ADD `adjusted` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `is_truncated` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `is_truncated` integer DEFAULT false NOT NULL;