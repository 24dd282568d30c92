ALTER TABLE `api_keys` ADD `dearest_usd` real;--> statement-breakpoint
ALTER TABLE `batches` ADD `generation` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `batches` ADD `payer` integer;--> statement-breakpoint
ALTER TABLE `batches` ADD `dearest_usd` real;--> statement-breakpoint
ALTER TABLE `executions` ADD `claim` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `is_estimated` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `interruptions` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `payer` integer;--> statement-breakpoint
ALTER TABLE `queue` ADD `reserved_usd` real DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `queue_reserved` ON `queue` (`payer`) WHERE "queue"."reserved_usd" > 0;--> statement-breakpoint
ALTER TABLE `tasks` ADD `generation` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE `batches` SET `generation` = 1 WHERE `revive` IS NOT NULL;