import { existsSync } from "node:fs";

import type { Client } from "@libsql/client";

import { StartError } from "../lib/start-error.ts";

/** Lies beside the file of a database while that is being restored. */
export function restoringMarker(path: string): string {
  return `${path}.restoring`;
}

/** Is in a database on a server while that is being restored. */
export const RESTORING = "__restoring";

/** Throws `StartError` where a restore of a local file has begun and not ended: what is there is not whole. */
export function requireRestored(path: string): void {
  if (existsSync(restoringMarker(path))) throw unrestored(path);
}

/** The same of a database on a server. */
export async function requireRestoredServer(client: Client, where: string): Promise<void> {
  const { rows } = await client.execute({
    sql: "SELECT 1 FROM sqlite_master WHERE name = ?",
    args: [RESTORING],
  });
  if (rows.length > 0) throw unrestored(where);
}

function unrestored(where: string): StartError {
  return new StartError(
    `A restore of ${where} is under way, or did not end. Wait for it, or run \`restore\` again: it begins anew.`,
  );
}
