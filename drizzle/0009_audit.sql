CREATE TABLE `audit_log` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`key_id` text NOT NULL,
	`action` text NOT NULL,
	`target` text,
	`request_id` text NOT NULL,
	`address` text,
	`options` text
);
--> statement-breakpoint
CREATE INDEX `audit_by_key` ON `audit_log` (`key_id`);--> statement-breakpoint
CREATE INDEX `audit_by_target` ON `audit_log` (`target`);--> statement-breakpoint
CREATE TRIGGER `audit_is_not_changed` BEFORE UPDATE ON `audit_log` BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;--> statement-breakpoint
CREATE TRIGGER `audit_is_not_deleted` BEFORE DELETE ON `audit_log` BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
