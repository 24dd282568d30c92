import { existsSync } from "node:fs";

import type { Client } from "@libsql/client";

import { StartError } from "../lib/start-error.ts";

/** The marker file beside a database file that is being restored. */
export function restoringMarker(path: string): string {
  return `${path}.restoring`;
}

/** The table in a database on a server that is being restored. */
export const RESTORING = "__restoring";

/**
 * Fails, and with it the rest of the transaction, while a database on a server is being restored: `json` refuses a
 * text that is not JSON.
 */
export const UNLESS_RESTORING = `SELECT json(iif(EXISTS (SELECT 1 FROM sqlite_master WHERE name = '${RESTORING}'),
  'the database is being restored', '1'))`;

/** Throws `StartError` if a restore of a local file has begun and not ended, so the file is incomplete. */
export function requireRestored(path: string): void {
  if (existsSync(restoringMarker(path))) throw unrestored(path);
}

/** The same for a database on a server. */
export async function requireRestoredServer(client: Client, where: string): Promise<void> {
  const { rows } = await client.execute({
    sql: "SELECT 1 FROM sqlite_master WHERE name = ?",
    args: [RESTORING],
  });
  if (rows.length > 0) throw unrestored(where);
}

function unrestored(where: string): StartError {
  return new StartError(
    `A restore of ${where} is in progress, or did not end. Wait for it, or run \`restore\` again, which starts from the beginning.`,
  );
}
