/** Only an operator's tool can lock the file, and not for long. */
export const BUSY_TIMEOUT_MS = 2000;

/** For the connection that writes a local file. */
export const WRITING_PRAGMAS = [
  // Takes effect only when the file is created; older files cannot shrink.
  "auto_vacuum = INCREMENTAL",
  "journal_mode = WAL",
  "synchronous = FULL",
  "foreign_keys = ON",
  "temp_store = MEMORY",
  "cache_size = -16384",
];

/** For a connection that only reads single rows beside another that writes. */
export const READING_PRAGMAS = ["query_only = ON", "cache_size = -4096"];
