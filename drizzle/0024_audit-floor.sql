CREATE TABLE `audit_floor` (
	`before` integer NOT NULL
);
--> statement-breakpoint
INSERT INTO `audit_floor` (`before`) VALUES (0);--> statement-breakpoint
DROP TRIGGER `audit_is_not_deleted`;--> statement-breakpoint
CREATE TRIGGER `audit_is_not_deleted` BEFORE DELETE ON `audit_log` WHEN old.`at` >= (SELECT `before` FROM `audit_floor`)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
