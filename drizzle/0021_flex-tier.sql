ALTER TABLE `queue` ADD `flex_until` integer;--> statement-breakpoint
CREATE INDEX `queue_flex` ON `queue` (`flex_until`) WHERE "queue"."flex_until" is not null and "queue"."owner" is null;--> statement-breakpoint
ALTER TABLE `tasks` ADD `flex_minutes` real;