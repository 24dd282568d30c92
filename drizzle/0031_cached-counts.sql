ALTER TABLE `batches` ADD `cached` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `is_cached` integer DEFAULT false NOT NULL;