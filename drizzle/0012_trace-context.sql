ALTER TABLE `batches` ADD `trace` text;--> statement-breakpoint
ALTER TABLE `queue` ADD `trace` text;