CREATE TABLE `live_calls` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`node` integer NOT NULL,
	`payer` integer NOT NULL,
	`usd` real NOT NULL
);
--> statement-breakpoint
CREATE INDEX `live_calls_by_payer` ON `live_calls` (`payer`);