DROP INDEX `audit_by_key`;--> statement-breakpoint
DROP INDEX `audit_by_target`;--> statement-breakpoint
CREATE INDEX `audit_by_time` ON `audit_log` (`at`);--> statement-breakpoint
CREATE INDEX `audit_by_action` ON `audit_log` (`action`,`at`);--> statement-breakpoint
CREATE INDEX `audit_by_key` ON `audit_log` (`key_id`,`at`);--> statement-breakpoint
CREATE INDEX `audit_by_target` ON `audit_log` (`target`,`at`);--> statement-breakpoint
CREATE INDEX `batches_by_name` ON `batches` (`name`);--> statement-breakpoint
CREATE INDEX `files_by_time` ON `files` (`created_at`);--> statement-breakpoint
CREATE INDEX `files_by_name` ON `files` (`name`);--> statement-breakpoint
CREATE INDEX `queue_waiting_by_lane` ON `queue` (`lane`) WHERE "queue"."run_at" is not null;--> statement-breakpoint
CREATE INDEX `schedules_by_name` ON `schedules` (`name`);--> statement-breakpoint
CREATE INDEX `stream_tokens_by_end` ON `stream_tokens` (`expires_at`);--> statement-breakpoint
CREATE INDEX `tasks_by_batch_id` ON `tasks` (`batch`,`id`);--> statement-breakpoint
CREATE INDEX `tasks_truncated` ON `tasks` (`batch`) WHERE "tasks"."is_truncated";