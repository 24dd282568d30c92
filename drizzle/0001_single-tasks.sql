-- Every task belongs to a batch. Row 0 holds the tasks that were sent one by one; its empty id is
-- no valid id, so no request can name it.
INSERT INTO `batches` (`seq`, `id`, `name`, `status`, `config`, `created_at`, `updated_at`)
VALUES (0, '', 'Single tasks', 'running', '{}', 0, 0);
