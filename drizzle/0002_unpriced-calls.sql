ALTER TABLE `api_key_usage` ADD `unpriced` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `executions` ADD `known_usd` real;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_unpriced` integer DEFAULT 0 NOT NULL;