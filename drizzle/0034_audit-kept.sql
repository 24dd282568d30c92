CREATE TRIGGER `audit_is_not_replaced` BEFORE INSERT ON `audit_log` WHEN EXISTS (SELECT 1 FROM `audit_log` WHERE `id` = new.`id`)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
