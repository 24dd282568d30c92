CREATE TABLE `stream_tokens` (
	`hash` text PRIMARY KEY NOT NULL,
	`api_key` integer NOT NULL,
	`filter` text NOT NULL,
	`expires_at` integer NOT NULL
);
