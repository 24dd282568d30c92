CREATE TABLE `alerts` (
	`code` text NOT NULL,
	`subject` text NOT NULL,
	`message` text NOT NULL,
	`raised_at` integer NOT NULL,
	PRIMARY KEY(`code`, `subject`)
);
