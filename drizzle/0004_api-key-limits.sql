CREATE TABLE `api_key_usage` (
	`api_key` integer NOT NULL,
	`month` text NOT NULL,
	`tasks` integer NOT NULL,
	`prompt_tokens` integer NOT NULL,
	`completion_tokens` integer NOT NULL,
	`cost_usd` real NOT NULL,
	PRIMARY KEY(`api_key`, `month`)
);
--> statement-breakpoint
ALTER TABLE `api_keys` ADD `expires_at` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `last_used_at` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `rate_limit_per_minute` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `monthly_budget_usd` real;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `previous_hash` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `previous_expires_at` integer;--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_by_previous_hash` ON `api_keys` (`previous_hash`) WHERE "api_keys"."previous_hash" is not null;