ALTER TABLE `batches` ADD `pause_reason` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `revive` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `revive_before` integer;--> statement-breakpoint
ALTER TABLE `batches` ADD `output_status` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `output_error` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `output_at` integer;