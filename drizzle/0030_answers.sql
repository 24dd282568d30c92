ALTER TABLE `batches` ADD `repaired` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `executions` ADD `escalated_from` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `is_repaired` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `repairs` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `repair` text;--> statement-breakpoint
ALTER TABLE `queue` ADD `is_escalated` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_prompt_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_completion_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_cached_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_reasoning_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `queue` ADD `earlier_usd` real DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `max_repairs` integer;--> statement-breakpoint
ALTER TABLE `tasks` ADD `escalate_to` text;--> statement-breakpoint
ALTER TABLE `tasks` ADD `is_repaired` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `tasks_repaired` ON `tasks` (`batch`) WHERE "tasks"."is_repaired";