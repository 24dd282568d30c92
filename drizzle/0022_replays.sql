DROP INDEX `deliveries_fresh`;--> statement-breakpoint
ALTER TABLE `webhook_deliveries` ADD `is_replay` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `deliveries_fresh` ON `webhook_deliveries` (`webhook`,`is_replay`,`event`) WHERE "webhook_deliveries"."status" = 'pending' and "webhook_deliveries"."next_at" is null;