CREATE TABLE `stored_bytes` (
	`api_key` integer PRIMARY KEY NOT NULL,
	`files` integer DEFAULT 0 NOT NULL,
	`requests` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
INSERT INTO `stored_bytes` (`api_key`, `files`, `requests`)
SELECT k.`seq`,
  (SELECT coalesce(sum(f.`bytes`), 0) FROM `files` f WHERE f.`api_key` = k.`seq`),
  0
FROM `api_keys` k;--> statement-breakpoint
UPDATE `stored_bytes` SET `requests` = s.`bytes`
FROM (
  SELECT t.`api_key` AS `key`, sum(octet_length(i.`body`) + coalesce(octet_length(i.`prompt`), 0)
    + coalesce(octet_length(i.`metadata`), 0) + coalesce(octet_length(i.`cells`), 0)) AS `bytes`
  FROM `tasks` t CROSS JOIN `task_inputs` i ON i.`task` = t.`seq` GROUP BY t.`api_key`
) s WHERE s.`key` = `stored_bytes`.`api_key`;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_key` AFTER INSERT ON `api_keys`
BEGIN
  INSERT INTO `stored_bytes` (`api_key`) VALUES (new.`seq`);
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_file` AFTER INSERT ON `files`
BEGIN
  UPDATE `stored_bytes` SET `files` = `files` + new.`bytes` WHERE `api_key` = new.`api_key`;
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_file` AFTER DELETE ON `files`
BEGIN
  UPDATE `stored_bytes` SET `files` = `files` - old.`bytes` WHERE `api_key` = old.`api_key`;
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_new_request` AFTER INSERT ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` + octet_length(new.`body`)
    + coalesce(octet_length(new.`prompt`), 0) + coalesce(octet_length(new.`metadata`), 0)
    + coalesce(octet_length(new.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = new.`task`);
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_changed_request` AFTER UPDATE OF `body`, `prompt`, `metadata`, `cells` ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` + octet_length(new.`body`) - octet_length(old.`body`)
    + coalesce(octet_length(new.`prompt`), 0) - coalesce(octet_length(old.`prompt`), 0)
    + coalesce(octet_length(new.`metadata`), 0) - coalesce(octet_length(old.`metadata`), 0)
    + coalesce(octet_length(new.`cells`), 0) - coalesce(octet_length(old.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = new.`task`);
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_request` BEFORE DELETE ON `task_inputs`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` - octet_length(old.`body`)
    - coalesce(octet_length(old.`prompt`), 0) - coalesce(octet_length(old.`metadata`), 0)
    - coalesce(octet_length(old.`cells`), 0)
  WHERE `api_key` = (SELECT `api_key` FROM `tasks` WHERE `seq` = old.`task`);
END;--> statement-breakpoint
CREATE TRIGGER `bytes_of_a_removed_task` BEFORE DELETE ON `tasks`
BEGIN
  UPDATE `stored_bytes` SET `requests` = `requests` - coalesce((
    SELECT octet_length(`body`) + coalesce(octet_length(`prompt`), 0)
      + coalesce(octet_length(`metadata`), 0) + coalesce(octet_length(`cells`), 0)
    FROM `task_inputs` WHERE `task` = old.`seq`), 0)
  WHERE `api_key` = old.`api_key`;
END;
