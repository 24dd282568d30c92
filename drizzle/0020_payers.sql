DROP INDEX `queue_reserved`;--> statement-breakpoint
CREATE INDEX `queue_reserved` ON `queue` (`payer`,`reserved_usd`) WHERE "queue"."owner" is not null and "queue"."reserved_usd" > 0;--> statement-breakpoint
ALTER TABLE `batches` ADD `estimated_usd` real DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE `batches` SET `estimated_usd` = `cost_usd`, `cost_usd` = 0 WHERE `is_dry_run` = 1;--> statement-breakpoint
UPDATE `batches` SET `payer` = `api_key` WHERE `payer` IS NULL;--> statement-breakpoint
UPDATE `queue` SET `payer` = (SELECT `api_key` FROM `tasks` WHERE `seq` = `queue`.`task`) WHERE `payer` IS NULL;--> statement-breakpoint
UPDATE `queue` SET `lane` = -(
  coalesce((SELECT b.`seq` FROM `tasks` t JOIN `batches` b ON b.`seq` = t.`batch`
            WHERE t.`seq` = `queue`.`task` AND b.`max_cost_usd` IS NOT NULL), 0) * 2097152
  + coalesce((SELECT k.`seq` FROM `api_keys` k
              WHERE k.`seq` = `queue`.`payer` AND k.`monthly_budget_usd` IS NOT NULL), 0))
WHERE `lane` = 0 AND NOT `is_dry_run`;
