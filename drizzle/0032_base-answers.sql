ALTER TABLE `batches` ADD `base_batch` text;--> statement-breakpoint
ALTER TABLE `batches` ADD `reused` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `task_inputs` ADD `base_task` integer;--> statement-breakpoint
ALTER TABLE `task_inputs` ADD `base_run` integer;