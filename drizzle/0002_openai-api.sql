CREATE TABLE `live_calls` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`node` integer NOT NULL,
	`payer` integer NOT NULL,
	`usd` real NOT NULL
);
--> statement-breakpoint
CREATE INDEX `live_calls_by_payer` ON `live_calls` (`payer`);--> statement-breakpoint
ALTER TABLE `batches` ADD `open_ai` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `deadline_at` integer;--> statement-breakpoint
ALTER TABLE `batches` ADD `expired_at` integer;--> statement-breakpoint
ALTER TABLE `batches` ADD `cancelling_at` integer;--> statement-breakpoint
ALTER TABLE `batches` ADD `cached_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `batches` ADD `reasoning_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `batches_being_checked` ON `batches` (`chain_status`) WHERE "batches"."chain_status" = 'checking';--> statement-breakpoint
CREATE INDEX `batches_by_deadline` ON `batches` (`deadline_at`) WHERE "batches"."deadline_at" is not null and "batches"."status" in ('pending', 'running', 'paused');--> statement-breakpoint
CREATE INDEX `batches_of_files` ON `batches` (`created_at`) WHERE "batches"."input_file" is not null;--> statement-breakpoint
CREATE INDEX `batches_with_results` ON `batches` (`completed_at`) WHERE "batches"."open_ai" is not null and "batches"."completed_at" is not null;--> statement-breakpoint
ALTER TABLE `files` ADD `purpose` text;--> statement-breakpoint
ALTER TABLE `files` ADD `expires_at` integer;--> statement-breakpoint
CREATE INDEX `files_by_expiry` ON `files` (`expires_at`) WHERE "files"."expires_at" is not null;--> statement-breakpoint
ALTER TABLE `webhooks` ADD `is_open_ai` integer DEFAULT false NOT NULL;