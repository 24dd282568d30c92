CREATE TABLE `loose_files` (
	`id` text PRIMARY KEY NOT NULL,
	`node` integer
);
--> statement-breakpoint
ALTER TABLE `nodes` ADD `files_id` text;