import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import type { Client } from "@libsql/client";

import type { Config } from "../config.ts";
import { lockFile } from "../db/file-lock.ts";
import { beforeLoading, beginLoading, loadServer, requireEmptyServer } from "../db/load.ts";
import { schemaState } from "../db/migrate.ts";
import { createServerClient } from "../db/server.ts";
import { missingSpace, syncFile, withCopy } from "../db/snapshot.ts";
import { restoringMarker } from "../db/unrestored.ts";
import type { Clock } from "../lib/clock.ts";
import { FILE_MODE } from "../lib/file-system.ts";
import { newId } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { filePathOf, withoutSecrets } from "../lib/urls.ts";
import { afterRestore, type AfterRestore } from "./after-restore.ts";
import { copyFile } from "./copy-files.ts";
import { DATABASE, type Manifest, readManifest, verifyBackup } from "./manifest.ts";
import { requireSameFiles, restoreFiles } from "./restore-files.ts";

export type RestoreOptions = {
  config: Pick<Config, "dataDir" | "filesDir" | "databaseUrl" | "databaseAuthToken">;
  /** The folder of the backup. */
  folder: string;
  /** Running batches, schedules and webhooks are paused until an operator resumes them. */
  isPaused: boolean;
  clock: Clock;
  random: Random;
};

export type Restored = { manifest: Manifest; where: string } & Pick<AfterRestore, "goesOn">;

/** The timeout of a statement, because a whole table may be dropped. */
const SERVER_MS = 120_000;

/*
 * Puts a backup back where the configuration says that database and files are:
 *
 *   checked    every byte of the backup is compared with its manifest, and the target must be
 *              empty: no database, no other files under the same names, enough room. Nothing was
 *              changed before, and whatever is wrong is reported.
 *   restoring  a marker stands beside the database, or in the one on a server, with which no server starts.
 *              The files come first, each whole or not at all, then the database under another name.
 *   restored   the database is renamed, the marker goes. A restore that was killed before is begun again
 *              by the next one, and removes what that has left.
 *
 * What was restored begins a new epoch (`services/timeline.ts`). Throws `StartError`.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const folder = resolve(options.folder);
  const manifest = readManifest(folder);
  await verifyBackup(folder, manifest);
  await requireKnown(join(folder, DATABASE));
  const path = filePathOf(options.config.databaseUrl);
  return path === undefined
    ? restoreToServer(folder, manifest, options)
    : restoreToFile(folder, manifest, path, options);
}

async function requireKnown(database: string): Promise<void> {
  const state = await withCopy(database, schemaState);
  if (state === "newer")
    throw new StartError(
      "The backup is of a newer version of GPT Task Runner; restore it with that one.",
    );
}

async function restoreToFile(
  folder: string,
  manifest: Manifest,
  path: string,
  options: RestoreOptions,
): Promise<Restored> {
  const unlock = await lockFile(path);
  try {
    const marker = restoringMarker(path);
    // An existing database belongs to the killed restore only if that had come this far.
    const isOurs = existsSync(marker) && readFileSync(marker, "utf8") === RENAMING;
    if (!isOurs) requireNoDatabase(path);
    const { filesDir } = options.config;
    await requireSameFiles(folder, manifest, filesDir);
    requireRoom(dirname(path), manifest.database.bytes);
    mark(marker, COPYING);
    for (const end of ["", ...BESIDE]) rmSync(path + end, { force: true });
    await restoreFiles(folder, manifest, filesDir);
    const copy = `${path}.restored`;
    for (const end of ["", ...BESIDE]) rmSync(copy + end, { force: true });
    await copyFile(join(folder, DATABASE), copy);
    const goesOn = await withCopy(copy, async (client) => {
      const after = await afterRestore(client, manifest, options);
      await client.batch(after.statements, "write");
      return after.goesOn;
    });
    syncFile(copy);
    mark(marker, RENAMING);
    renameSync(copy, path);
    syncFile(dirname(path));
    rmSync(marker);
    syncFile(dirname(path));
    return { manifest, where: path, goesOn };
  } finally {
    unlock();
  }
}

/** The content of the marker, so that the next restore knows how far a killed one has come. */
const COPYING = "copying\n";
const RENAMING = "renaming\n";

function mark(marker: string, state: string): void {
  const unfinished = `${marker}.tmp`;
  writeFileSync(unfinished, state, { mode: FILE_MODE, flush: true });
  renameSync(unfinished, marker);
  syncFile(dirname(marker));
}

/** The files that SQLite keeps beside a database. Those of another database would corrupt the restored one. */
const BESIDE = ["-wal", "-shm", "-journal"];

function requireNoDatabase(path: string): void {
  const there = ["", ...BESIDE].map((end) => path + end).filter((file) => existsSync(file));
  if (there.length > 0)
    throw new Refused(
      `There is a database already: ${there.join(", ")}. Move it away, all of it, or set DATA_DIR to another folder; leave timeline.json where it is.`,
    );
}

function requireRoom(folder: string, bytes: number): void {
  const lacking = missingSpace(folder, bytes);
  if (lacking > 0)
    throw new StartError(
      `The disk of ${folder} has too little room: ${Math.ceil(lacking / 1_000_000)} MB more are needed.`,
    );
}

async function restoreToServer(
  folder: string,
  manifest: Manifest,
  options: RestoreOptions,
): Promise<Restored> {
  const { clock, config } = options;
  const { databaseUrl: url, databaseAuthToken: authToken, filesDir } = config;
  const where = withoutSecrets(url);
  const client: Client = createServerClient({ url, authToken, clock, deadlineMs: SERVER_MS });
  const target = { client, holder: newId(options, "restore"), where };
  try {
    await requireEmptyServer(target);
    await requireSameFiles(folder, manifest, filesDir);
    await beginLoading(target);
    await beforeLoading(target, clock, () => restoreFiles(folder, manifest, filesDir));
    return await withCopy(join(folder, DATABASE), async (from) => {
      const { statements, goesOn } = await afterRestore(from, manifest, options);
      await loadServer(target, from, statements);
      return { manifest, where, goesOn };
    });
  } finally {
    client.close();
  }
}
