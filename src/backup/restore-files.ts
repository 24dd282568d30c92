import { lstatSync, mkdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { missingSpace, syncFile } from "../db/snapshot.ts";
import { FOLDER_MODE } from "../lib/file-system.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { copyFile } from "./copy-files.ts";
import { type Copied, FILES, hashFile, type Manifest, placeOf } from "./manifest.ts";

const MOST_REPORTED = 5;

/**
 * Throws `StartError` if the files folder has another file under the name of a file of the backup, or too little
 * room. An identical file is accepted: a killed restore has put it there, or it was never lost.
 */
export async function requireSameFiles(
  folder: string,
  { files }: Manifest,
  filesDir: string,
): Promise<void> {
  mkdirSync(filesDir, { recursive: true, mode: FOLDER_MODE });
  const others: string[] = [];
  let bytes = 0;
  for (const file of files) {
    const state = await stateOf(placeOf(filesDir, file), file);
    if (state === "other") others.push(file.path);
    if (state === "none") bytes += file.bytes;
    placeOf(join(folder, FILES), file);
  }
  if (others.length > 0) {
    const reported = others.slice(0, MOST_REPORTED).join(", ");
    const more = others.length > MOST_REPORTED ? ` and ${others.length - MOST_REPORTED} more` : "";
    throw new Refused(
      `${filesDir} has other files under the names of ${reported}${more}. Move them away, or set FILES_DIR to another folder.`,
    );
  }
  const lacking = missingSpace(filesDir, bytes);
  if (lacking > 0)
    throw new StartError(
      `The disk of ${filesDir} has too little room: ${Math.ceil(lacking / 1_000_000)} MB more are needed.`,
    );
}

/** Restores the files of a backup, each completely or not at all. */
export async function restoreFiles(
  folder: string,
  { files }: Manifest,
  filesDir: string,
): Promise<void> {
  for (const file of files) {
    const place = placeOf(filesDir, file);
    if ((await stateOf(place, file)) === "same") continue;
    // The name of a temporary file, so that leftovers are removed automatically.
    const temporary = join(dirname(place), `.${basename(place)}.restore-0.tmp`);
    await copyFile(placeOf(join(folder, FILES), file), temporary);
    renameSync(temporary, place);
    syncFile(dirname(place));
  }
}

async function stateOf(place: string, file: Copied): Promise<"none" | "same" | "other"> {
  const info = lstatSync(place, { throwIfNoEntry: false });
  if (!info) return "none";
  if (!info.isFile() || info.size !== file.bytes) return "other";
  return (await hashFile(place)) === file.sha256 ? "same" : "other";
}
