CREATE TABLE `leases` (
	`name` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`webhook` integer NOT NULL,
	`event` integer,
	`type` text NOT NULL,
	`task` text,
	`batch` text,
	`body` text NOT NULL,
	`at` integer NOT NULL,
	`status` text NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_at` integer,
	`last_attempt_at` integer,
	`response_status` integer,
	`latency_ms` integer,
	`error` text,
	`snippet` text,
	`log` text,
	`completed_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `deliveries_once` ON `webhook_deliveries` (`webhook`,`event`) WHERE "webhook_deliveries"."event" is not null;--> statement-breakpoint
CREATE INDEX `deliveries_by_webhook` ON `webhook_deliveries` (`webhook`,`seq`);--> statement-breakpoint
CREATE INDEX `deliveries_fresh` ON `webhook_deliveries` (`webhook`,`event`) WHERE "webhook_deliveries"."status" = 'pending' and "webhook_deliveries"."next_at" is null;--> statement-breakpoint
CREATE INDEX `deliveries_due` ON `webhook_deliveries` (`webhook`,`next_at`) WHERE "webhook_deliveries"."next_at" is not null;--> statement-breakpoint
CREATE TABLE `webhooks` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`url` text NOT NULL,
	`events` text NOT NULL,
	`description` text,
	`secret` text NOT NULL,
	`previous_secret` text,
	`previous_secret_until` integer,
	`is_active` integer DEFAULT true NOT NULL,
	`disabled_reason` text,
	`cursor` integer NOT NULL,
	`failing_since` integer,
	`api_key` integer,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `webhooks_id_unique` ON `webhooks` (`id`);--> statement-breakpoint
CREATE INDEX `webhooks_by_time` ON `webhooks` (`created_at`);