import { LibsqlError } from "@libsql/client";

import { createLocalClient, type LocalClient } from "./local-client.ts";

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

/** Opens a local file; throws an error whose code says that nothing was done. */
export async function openWith(path: string, pragmas: readonly string[]): Promise<LocalClient> {
  let client: LocalClient | undefined;
  try {
    client = createLocalClient(path, BUSY_TIMEOUT_MS);
    for (const pragma of pragmas) await client.execute(`PRAGMA ${pragma}`);
    return client;
  } catch (error) {
    client?.close();
    const { message, code } =
      error instanceof LibsqlError ? error : { message: String(error), code: "" };
    // The driver has a code of its own for a file that it cannot open.
    throw new LibsqlError(message, code.startsWith("SQLITE_") ? code : "SQLITE_CANTOPEN");
  }
}
