CREATE TABLE `live_settlements` (
	`node` integer PRIMARY KEY NOT NULL,
	`number` integer NOT NULL,
	`at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `nodes` DROP COLUMN `live_settled`;