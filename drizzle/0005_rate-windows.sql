CREATE TABLE `rate_windows` (
	`api_key` integer NOT NULL,
	`minute` integer NOT NULL,
	`used` integer NOT NULL,
	`granted` integer NOT NULL,
	PRIMARY KEY(`api_key`, `minute`)
);
