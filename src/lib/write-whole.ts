import { basename, dirname, join } from "node:path";

import type { FileSystem } from "./file-system.ts";

/** The temporary files that a process is writing; the rest is removed when the process ends. */
export type Unfinished = { files: FileSystem; unfinished: Set<string> };

/** Who writes a file: `owner` is the same after a restart, `mark` differs each time. */
export type By = { owner: string; mark: string };

/**
 * Writes a file so that it appears whole or not at all: under a temporary name beside it, synced to the disk, then
 * renamed. If that fails the temporary file is removed and the error thrown.
 */
export async function writeWhole(
  { files, unfinished }: Unfinished,
  path: string,
  { owner, mark }: By,
  pieces: AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const temporary = await writeTemporary(
    { files, unfinished },
    path,
    { owner, mark },
    pieces,
    true,
  );
  try {
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary);
    throw error;
  } finally {
    unfinished.delete(temporary);
  }
}

/**
 * Writes a temporary file beside `path`. The caller removes it (`removeTemporary`), or else the next start does.
 * Returns its path.
 */
export async function writeTemporary(
  { files, unfinished }: Unfinished,
  path: string,
  { owner, mark }: By,
  pieces: AsyncIterable<string | Uint8Array>,
  isSynced = false,
): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${owner}-${mark}.tmp`);
  unfinished.add(temporary);
  try {
    const file = await files.create(temporary);
    try {
      for await (const piece of pieces) await file.write(piece);
      if (isSynced) await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    await removeTemporary({ files, unfinished }, temporary);
    throw error;
  }
  return temporary;
}

export async function removeTemporary(
  { files, unfinished }: Unfinished,
  temporary: string,
): Promise<void> {
  await files.remove(temporary);
  unfinished.delete(temporary);
}

/** Removes unfinished files when the process shuts down. */
export async function removeUnfinished({ files, unfinished }: Unfinished): Promise<void> {
  for (const temporary of unfinished) await files.remove(temporary);
}

/**
 * Removes temporary files that killed processes have left in a folder: those of `owner`, which writes none now, and
 * those that were not written to since `before`. With `name`, only those of that file.
 */
export async function removeLeftovers(
  { files, unfinished }: Unfinished,
  folder: string,
  { owner, before, name }: { owner: string | undefined; before: number; name?: string },
): Promise<number> {
  let removed = 0;
  for await (const entry of files.namesIn(folder)) {
    const [, of, by] = TEMPORARY.exec(entry) ?? [];
    const path = join(folder, entry);
    if (of === undefined || (name !== undefined && of !== name) || unfinished.has(path)) continue;
    if (by !== owner && ((await files.changedAt(path)) ?? before) >= before) continue;
    await files.remove(path);
    removed++;
  }
  return removed;
}

/** Whether a name is that of a temporary file. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

const TEMPORARY = /^\.(.+)\.([0-9a-z]+)-[0-9a-z]+\.tmp$/;

/** Why a file could not be written, in words that reveal nothing about the machine. */
export function explainWriting(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return WHY[code] ?? (code === "" ? "the file could not be written" : `the system says ${code}`);
}

const WHY: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the disk is read-only",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOTDIR: "a part of its path is a file",
  EEXIST: "a part of its path is a file",
  EISDIR: "it is a folder",
  ENAMETOOLONG: "its name is too long",
  EFBIG: "it would be too large for the file system",
};
