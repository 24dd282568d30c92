CREATE TABLE `changes` (
	`topic` text PRIMARY KEY NOT NULL,
	`count` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `deltas` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`node` integer NOT NULL,
	`task` integer NOT NULL,
	`offset` integer NOT NULL,
	`text` text NOT NULL,
	`at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `followed` (
	`task` integer NOT NULL,
	`node` integer NOT NULL,
	PRIMARY KEY(`task`, `node`)
);
--> statement-breakpoint
ALTER TABLE `batches` ADD `draft_owner` integer;--> statement-breakpoint
ALTER TABLE `nodes` ADD `is_runner` integer DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE `nodes` ADD `keys` text;