import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import process from "node:process";

import { FOLDER_MODE } from "./file-system.ts";
import { StartError } from "./start-error.ts";

/**
 * Makes a folder that this process will write to, and its parents. Throws `StartError` if it cannot. `name` says in
 * the message what the folder is for; `volume` is the mounted folder around it, if any, whose owner must be changed.
 */
export function ensureWritable(folder: string, name: string, volume = folder): void {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    throw new StartError(`Cannot create the ${name} ${folder}: ${reason(error)}.`);
  }
  const { R_OK, W_OK, X_OK } = constants;
  try {
    accessSync(folder, R_OK | W_OK | X_OK);
  } catch (error) {
    // On a read-only file system ownership is not the problem.
    const advice = /EROFS/.test(reason(error)) ? "" : adviceFor(folder, volume);
    throw new StartError(`Cannot write to the ${name} ${folder}: ${reason(error)}${advice}.`);
  }
}

/**
 * Which user must own the files of a folder, and the command that changes the owner, as the end of a sentence; empty
 * if this process may read and write all of the files.
 */
export function ownerAdvice(folder: string, files: string[]): string {
  const foreign = files.find((file) => existsSync(file) && !isOurs(file));
  return foreign === undefined ? "" : adviceFor(foreign, folder);
}

function isOurs(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function adviceFor(path: string, folder: string): string {
  // Windows has no user ids.
  const user = process.getuid?.();
  const group = process.getgid?.();
  if (user === undefined) return "";
  return (
    `; this process is user ${user}, which may not read and write ${path}: ` +
    `run \`chown -R ${user}:${group} ${folder}\` as root`
  );
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
