import { createHash } from "node:crypto";
import { createReadStream, lstatSync, mkdirSync, type Stats } from "node:fs";
import { opendir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

import { FOLDER_MODE, systemFiles } from "../lib/file-system.ts";
import { isTemporaryName } from "../lib/write-whole.ts";
import type { Copied } from "./manifest.ts";

/** The copied files of a folder, by their paths in it. */
export type FileCopies = {
  copied: Map<string, Copied & { version: string }>;
  skipped: Map<string, string>;
};

export function noCopies(): FileCopies {
  return { copied: new Map(), skipped: new Map() };
}

/** How often a file is copied again because it was written to meanwhile. */
const MOST_TRIES = 3;

/**
 * Copies the files below `root` that were not copied yet, or have changed since. Files that disappear meanwhile are
 * ignored. `isLeftOut` names the paths that do not belong to the files folder.
 */
export async function copyFiles(
  root: string,
  target: string,
  copies: FileCopies,
  isLeftOut: (path: string) => boolean,
): Promise<void> {
  for await (const { path, info } of filesBelow(root, isLeftOut)) {
    const name = relative(root, path);
    if (!info.isFile()) {
      copies.skipped.set(name, info.isSymbolicLink() ? "is a link" : "is not a regular file");
      continue;
    }
    if (copies.copied.get(name)?.version === versionOf(info)) continue;
    const copied = await copyUnchanged(path, join(target, name));
    // A copy from an earlier call is overwritten or removed.
    copies.copied.delete(name);
    copies.skipped.delete(name);
    if (copied === "busy") copies.skipped.set(name, "was written to all the time");
    else if (copied !== "gone") copies.copied.set(name, { path: name, ...copied });
  }
}

/** The bytes of the files below a folder. */
export async function sizeOfFiles(
  root: string,
  isLeftOut: (path: string) => boolean,
): Promise<number> {
  let bytes = 0;
  for await (const { info } of filesBelow(root, isLeftOut)) if (info.isFile()) bytes += info.size;
  return bytes;
}

async function* filesBelow(
  root: string,
  isLeftOut: (path: string) => boolean,
): AsyncGenerator<{ path: string; info: Stats }> {
  const folder = await opendir(root).catch(unlessGone);
  for await (const { name } of folder ?? []) {
    const path = join(root, name);
    const info = lstatSync(path, { throwIfNoEntry: false });
    // A file that is being written does not count yet.
    if (!info || isTemporaryName(name) || isLeftOut(path)) continue;
    if (info.isDirectory()) yield* filesBelow(path, isLeftOut);
    else yield { path, info };
  }
}

/** Copies a file that nobody writes to meanwhile; of another file no copy is left. */
async function copyUnchanged(
  from: string,
  to: string,
): Promise<(Omit<Copied, "path"> & { version: string }) | "gone" | "busy"> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const before = lstatSync(from, { throwIfNoEntry: false });
    const copied = before && (await copyFile(from, to).catch(unlessGone));
    if (!copied) {
      await systemFiles.remove(to);
      return "gone";
    }
    const after = lstatSync(from, { throwIfNoEntry: false });
    const version = versionOf(before);
    if (!after || versionOf(after) === version) return { ...copied, version };
  }
  await systemFiles.remove(to);
  return "busy";
}

/** Copies a file, syncs it to the disk, and makes its parent folders. Returns what was copied. */
export async function copyFile(from: string, to: string): Promise<Omit<Copied, "path">> {
  mkdirSync(dirname(to), { recursive: true, mode: FOLDER_MODE });
  const hash = createHash("sha256");
  let bytes = 0;
  const source = createReadStream(from);
  const file = await systemFiles.create(to);
  try {
    for await (const chunk of source) {
      const piece = chunk as Buffer;
      hash.update(piece);
      bytes += piece.length;
      await file.write(piece);
    }
    await file.sync();
  } finally {
    source.destroy();
    await file.close();
  }
  return { bytes, sha256: hash.digest("hex") };
}

function versionOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, mtimeMs, ctimeMs].join();
}

function unlessGone(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
