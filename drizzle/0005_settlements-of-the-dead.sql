CREATE TABLE `live_settlements` (
	`node` integer PRIMARY KEY NOT NULL,
	`number` integer NOT NULL,
	`at` integer NOT NULL
);
