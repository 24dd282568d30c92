import { closeSync, fsyncSync, openSync, statfsSync } from "node:fs";

import type { Client } from "@libsql/client";

import { keepPrivate } from "./file-lock.ts";
import { createLocalClient } from "./local-client.ts";

/** Disk space that stays free. */
const SPARE_BYTES = 64 * 1024 * 1024;
const BUSY_TIMEOUT_MS = 10_000;
/** Lists at most this many faults. */
const INTEGRITY_CHECK = "PRAGMA integrity_check(10)";

/**
 * Copies a database into a new file, as of one moment, without its free pages. Other connections go on reading and
 * writing.
 */
export async function copyDatabase(client: Client, target: string): Promise<void> {
  // The copy is written into an existing empty file, which keeps its mode.
  keepPrivate(target);
  await client.execute({ sql: "VACUUM INTO ?", args: [target] });
  syncFile(target);
}

/** The faults of a database; empty if it is sound. Reads the whole database. */
export async function findFaults(client: Pick<Client, "execute">): Promise<string[]> {
  const { rows } = await client.execute(INTEGRITY_CHECK);
  const lines = rows.map((row) => String(row[0]));
  return lines.length === 1 && lines[0] === "ok" ? [] : lines;
}

/** Opens a copy, which no other process has open, and does something with it. */
export async function withCopy<T>(path: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = createLocalClient(path, BUSY_TIMEOUT_MS);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Syncs a file or a folder to the disk. */
export function syncFile(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** How many bytes of disk space are missing to write `bytes` into a folder; 0 if they fit. */
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
