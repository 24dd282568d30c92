ALTER TABLE `batches` ADD `skipped` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `batches` ADD `input_batch` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `chain_status` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `chain_error` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `chain_owner` integer;--> statement-breakpoint
CREATE INDEX `batches_by_chain` ON `batches` (`chain_status`,`input_batch`) WHERE "batches"."chain_status" in ('waiting', 'made');--> statement-breakpoint
ALTER TABLE `tasks` ADD `is_skipped` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `tasks_skipped` ON `tasks` (`batch`) WHERE "tasks"."is_skipped";