ALTER TABLE `webhooks` ADD `waiting` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `webhooks` ADD `retrying` integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
UPDATE `webhooks` SET
  `waiting` = (SELECT count(*) FROM `webhook_deliveries` d WHERE d.`webhook` = `webhooks`.`seq` AND d.`status` = 'pending'),
  `retrying` = (SELECT count(*) FROM `webhook_deliveries` d WHERE d.`webhook` = `webhooks`.`seq` AND d.`next_at` IS NOT NULL);--> statement-breakpoint
CREATE TRIGGER `deliveries_are_added` AFTER INSERT ON `webhook_deliveries` WHEN new.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET `waiting` = `waiting` + 1, `retrying` = `retrying` + (new.`next_at` IS NOT NULL)
  WHERE `seq` = new.`webhook`;
END;--> statement-breakpoint
CREATE TRIGGER `deliveries_are_changed` AFTER UPDATE OF `status`, `next_at` ON `webhook_deliveries`
WHEN old.`status` <> new.`status` OR (old.`next_at` IS NULL) <> (new.`next_at` IS NULL)
BEGIN
  UPDATE `webhooks` SET
    `waiting` = `waiting` + (new.`status` = 'pending') - (old.`status` = 'pending'),
    `retrying` = `retrying` + (new.`next_at` IS NOT NULL) - (old.`next_at` IS NOT NULL)
  WHERE `seq` = new.`webhook`;
END;--> statement-breakpoint
CREATE TRIGGER `deliveries_are_removed` AFTER DELETE ON `webhook_deliveries` WHEN old.`status` = 'pending'
BEGIN
  UPDATE `webhooks` SET `waiting` = `waiting` - 1, `retrying` = `retrying` - (old.`next_at` IS NOT NULL)
  WHERE `seq` = old.`webhook`;
END;
