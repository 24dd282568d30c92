CREATE TABLE `timeline` (
	`id` integer PRIMARY KEY NOT NULL,
	`epoch` integer NOT NULL,
	`broken_after` integer NOT NULL,
	`continued_after` integer NOT NULL
);
--> statement-breakpoint
DROP INDEX `deliveries_fresh`;--> statement-breakpoint
ALTER TABLE `webhook_deliveries` ADD `is_replay` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `deliveries_fresh` ON `webhook_deliveries` (`webhook`,`is_replay`,`event`) WHERE "webhook_deliveries"."status" = 'pending' and "webhook_deliveries"."next_at" is null;--> statement-breakpoint
ALTER TABLE `webhooks` ADD `replaying` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
DROP TRIGGER `deliveries_are_added`;--> statement-breakpoint
DROP TRIGGER `deliveries_are_changed`;--> statement-breakpoint
DROP TRIGGER `deliveries_are_removed`;--> statement-breakpoint
CREATE TRIGGER `deliveries_are_added` AFTER INSERT ON `webhook_deliveries` WHEN new.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` + 1,
    `retrying` = `retrying` + (new.`next_at` IS NOT NULL),
    `replaying` = `replaying` + (new.`is_replay` AND new.`next_at` IS NULL)
  WHERE `seq` = new.`webhook`;
END;--> statement-breakpoint
CREATE TRIGGER `deliveries_are_changed` AFTER UPDATE OF `status`, `next_at`, `is_replay` ON `webhook_deliveries`
WHEN old.`status` <> new.`status` OR (old.`next_at` IS NULL) <> (new.`next_at` IS NULL) OR old.`is_replay` <> new.`is_replay`
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` + (new.`status` = 'pending') - (old.`status` = 'pending'),
    `retrying` = `retrying` + (new.`next_at` IS NOT NULL) - (old.`next_at` IS NOT NULL),
    `replaying` = `replaying` + (new.`status` = 'pending' AND new.`is_replay` AND new.`next_at` IS NULL)
      - (old.`status` = 'pending' AND old.`is_replay` AND old.`next_at` IS NULL)
  WHERE `seq` = new.`webhook`;
END;--> statement-breakpoint
CREATE TRIGGER `deliveries_are_removed` AFTER DELETE ON `webhook_deliveries` WHEN old.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` - 1,
    `retrying` = `retrying` - (old.`next_at` IS NOT NULL),
    `replaying` = `replaying` - (old.`is_replay` AND old.`next_at` IS NULL)
  WHERE `seq` = old.`webhook`;
END;
