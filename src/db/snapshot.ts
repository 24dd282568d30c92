import { closeSync, fsyncSync, openSync, statfsSync } from "node:fs";

import type { Client } from "@libsql/client";

import { keepPrivate } from "./file-lock.ts";
import { createLocalClient } from "./local-client.ts";

/** Left free beside what is written. */
const SPARE_BYTES = 64 * 1024 * 1024;
const BUSY_TIMEOUT_MS = 10_000;
/** Lists at most this many faults. */
const INTEGRITY_CHECK = "PRAGMA integrity_check(10)";

/**
 * Copies a database into a new file as it is at one moment, whatever is written meanwhile; what it has of
 * free pages is left out. Others go on reading and writing.
 */
export async function copyDatabase(client: Client, target: string): Promise<void> {
  // An empty file is written to, and keeps its mode.
  keepPrivate(target);
  await client.execute({ sql: "VACUUM INTO ?", args: [target] });
  syncFile(target);
}

/** Faults of a database; none where all is well. Reads it whole. */
export async function findFaults(client: Pick<Client, "execute">): Promise<string[]> {
  const { rows } = await client.execute(INTEGRITY_CHECK);
  const lines = rows.map((row) => String(row[0]));
  return lines.length === 1 && lines[0] === "ok" ? [] : lines;
}

/** Opens a copy, which nobody else has open, and does something with it. */
export async function withCopy<T>(path: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = createLocalClient(path, BUSY_TIMEOUT_MS);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Resolves when what a file or a folder holds is on the disk. */
export function syncFile(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** What is missing for `bytes` more in a folder: nothing where they fit. */
export function missingSpace(folder: string, bytes: number): number {
  const { bavail, bsize } = statfsSync(folder);
  return Math.max(0, bytes + SPARE_BYTES - bavail * bsize);
}

export async function sizeOfDatabase(client: Pick<Client, "execute">): Promise<number> {
  const { rows } = await client.execute(
    "SELECT c.page_count * s.page_size FROM pragma_page_count c CROSS JOIN pragma_page_size s",
  );
  return Number(rows[0]?.[0] ?? 0);
}
