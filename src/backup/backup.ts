import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

import packageJson from "../../package.json" with { type: "json" };
import type { Config } from "../config.ts";
import { dumpServer } from "../db/dump.ts";
import { tryPassingLock } from "../db/file-lock.ts";
import { migrationsOf } from "../db/migrate.ts";
import type { OutsideDatabase } from "../db/outside.ts";
import {
  copyDatabase,
  findFaults,
  missingSpace,
  sizeOfDatabase,
  syncFile,
  withCopy,
} from "../db/snapshot.ts";
import type { Clock } from "../lib/clock.ts";
import { UPLOADS } from "../lib/file-store.ts";
import { FILE_MODE, FOLDER_MODE } from "../lib/file-system.ts";
import type { Bucket } from "../lib/s3/requests.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { ensureWritable } from "../lib/writable.ts";
import { UPLOAD_IDS } from "../store/files.ts";
import { readRows } from "../store/rows.ts";
import { copyFiles, type FileCopies, noCopies, sizeOfFiles } from "./copy-files.ts";
import { DATABASE, FILES, hashFile, type Manifest, MANIFEST } from "./manifest.ts";
import { isOfProgram } from "./own-files.ts";

export type BackupOptions = {
  config: Pick<Config, "dataDir" | "filesDir" | "databaseUrl" | "bucket">;
  database: OutsideDatabase;
  /** The folder to create. */
  folder: string;
  clock: Pick<Clock, "now">;
};

/*
 * Makes a folder that is a backup, while servers work on:
 *
 *   partial   it is put together as `FOLDER.partial`, under a lock that ends with the process. Its file is
 *             `FOLDER.partial.lock`, outside of the folder, so that the lock is held until the folder has its
 *             name. What a killed backup has left is removed by the next one.
 *   files     the files are copied (those of a bucket are not, which the manifest says), then the database as it is at one moment, then the files that are
 *             new or changed: an upload is there whole before its row is, so that none of those in the
 *             database lacks its bytes unless it was deleted in those moments.
 *   whole     the copy of the database is read whole and the manifest written; the rename makes it a backup.
 *
 * Throws `StartError` for problems that the operator can solve.
 */
export async function makeBackup(options: BackupOptions): Promise<Manifest> {
  const target = resolve(options.folder);
  requireNewFolder(target, options.config.filesDir);
  const partial = `${target}.partial`;
  const unlock = await tryPassingLock(partial, "folder");
  if (!unlock) throw new Refused(`Another backup is being written to ${target}.`);
  try {
    // Another backup may have been completed since the check above.
    requireNewFolder(target, options.config.filesDir);
    return await make(partial, target, options);
  } finally {
    unlock();
  }
}

async function make(partial: string, target: string, options: BackupOptions): Promise<Manifest> {
  ensureWritable(partial, "folder");
  removeLeft(partial);
  try {
    const manifest = await fill(partial, options);
    writeFileSync(join(partial, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, {
      mode: FILE_MODE,
      flush: true,
    });
    syncFile(partial);
    renameSync(partial, target);
    syncFile(dirname(target));
    return manifest;
  } catch (error) {
    removeLeft(partial);
    rmdirSync(partial);
    throw error;
  }
}

const PARTS = [DATABASE, `${DATABASE}-journal`, FILES, MANIFEST];

/** Removes what a killed backup has left. Throws `Refused` if there is anything else. */
function removeLeft(partial: string): void {
  const other = readdirSync(partial).find((name) => !PARTS.includes(name));
  if (other !== undefined)
    throw new Refused(
      `${partial} has ${other}, which no backup has left there. Move the folder away.`,
    );
  for (const name of PARTS) rmSync(join(partial, name), { recursive: true, force: true });
}

function requireNewFolder(target: string, filesDir: string): void {
  const isIn = (inner: string, outer: string) => !relative(outer, inner).startsWith("..");
  if (isIn(target, filesDir))
    throw new Refused(
      `${target} lies in the files folder ${filesDir}, which is copied itself. Name a folder elsewhere.`,
    );
  if (existsSync(target) && readdirSync(target).length > 0)
    throw new Refused(
      `${target} exists and is not empty. Name an empty folder, or one that does not exist.`,
    );
}

async function fill(partial: string, options: BackupOptions): Promise<Manifest> {
  const { config, database, clock } = options;
  const { newest: schema } = await migrationsOf(database.client);
  if (schema === undefined)
    throw new StartError(
      `${database.where} holds no tables of GPT Task Runner: no server was started on it.`,
    );
  const bytes = await sizeOfDatabase(database.client);
  const isLeftOut = isOfProgram(config);
  const lacking = missingSpace(partial, bytes + (await sizeOfFiles(config.filesDir, isLeftOut)));
  if (lacking > 0)
    throw new StartError(
      `The disk of ${dirname(partial)} has too little room: ${Math.ceil(lacking / 1_000_000)} MB more are needed.`,
    );
  const files = join(partial, FILES);
  mkdirSync(files, { mode: FOLDER_MODE });
  const copies = noCopies();
  await copyFiles(config.filesDir, files, copies, isLeftOut);
  const copy = join(partial, DATABASE);
  const createdAt = new Date(clock.now()).toISOString();
  await (database.path === undefined
    ? dumpServer(database.slowClient, copy)
    : copyDatabase(database.slowClient, copy));
  await copyFiles(config.filesDir, files, copies, isLeftOut);
  const missing = await examine(copy, copies);
  return {
    format: 1,
    program: packageJson.version,
    createdAt,
    source: database.path === undefined ? "server" : "file",
    schema,
    database: { bytes: statSync(copy).size, sha256: await hashFile(copy) },
    files: [...copies.copied.values()].map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
    skipped: [...copies.skipped].map(([path, why]) => ({ path, why })),
    missingUploads: config.bucket ? [] : missing,
    bucket: config.bucket ? nameOf(config.bucket) : null,
  };
}

function nameOf({ bucket, prefix }: Bucket): string {
  return `s3://${bucket}/${prefix}`;
}

/**
 * Checks the whole copy of the database. Returns the uploads of the database that are missing among the copied files.
 */
async function examine(copy: string, { copied }: FileCopies): Promise<string[]> {
  return withCopy(copy, async (client) => {
    const faults = await findFaults(client);
    if (faults.length > 0)
      throw new StartError(
        `The copy of the database is damaged, so there is no backup: ${faults.join("; ")}. The disk may be failing, or the database itself is damaged: see \`admin check\`.`,
      );
    const rows = await readRows(client, UPLOAD_IDS);
    return rows.map(({ id }) => id).filter((id) => !copied.has(join(UPLOADS, id)));
  });
}
