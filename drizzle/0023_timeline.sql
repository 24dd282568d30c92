CREATE TABLE `timeline` (
	`id` integer PRIMARY KEY NOT NULL,
	`epoch` integer NOT NULL,
	`broken_after` integer NOT NULL,
	`continued_after` integer NOT NULL
);
