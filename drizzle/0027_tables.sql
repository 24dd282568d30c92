ALTER TABLE `batches` ADD `input` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `cached` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `is_cached` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `tasks_cached` ON `tasks` (`batch`) WHERE "tasks"."is_cached";