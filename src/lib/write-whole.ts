import { basename, dirname, join } from "node:path";

import type { FileSystem } from "./file-system.ts";

/**
 * Writes a file so that it appears whole or not at all: under a temporary name beside it, synced to
 * the disk, then renamed. Where that fails the temporary file is removed and the error thrown.
 */
export async function writeWhole(
  files: FileSystem,
  path: string,
  mark: string,
  pieces: AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${mark}.tmp`);
  const file = await files.create(temporary);
  try {
    try {
      for await (const piece of pieces) await file.write(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary);
    throw error;
  }
}

/** Why a file could not be written, in words that tell nothing of the machine. */
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
