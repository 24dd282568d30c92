import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";

import type { FileSystem } from "./file-system.ts";

/** A path leads out of its folder, into the `reserved` part of it, or to something that is not a file. */
export class PathError extends Error {
  override readonly name = "PathError";
  readonly target: "outside" | "reserved" | "odd";

  constructor(message: string, target: PathError["target"] = "odd") {
    super(message);
    this.target = target;
  }
}

/**
 * The real path of a regular file inside `root`, named relative to it or absolutely. `undefined` if there is none.
 * Throws `PathError` for everything else, also for symbolic links out of `root` or into its `reserved` folder. No
 * message reveals where `root` is.
 */
export async function findFileInside(
  files: FileSystem,
  root: string,
  path: string,
  reserved: string,
): Promise<string | undefined> {
  const target = resolveUnreserved(root, path, reserved);
  let real: string;
  try {
    real = await files.realPath(target);
  } catch {
    return undefined;
  }
  const realRoot = await files.realPath(root);
  if (!isInside(realRoot, real)) throw leadsOut();
  requireUnreserved(realRoot, real, reserved);
  const kind = await files.kindOf(real);
  if (kind !== "file")
    throw new PathError(kind === "folder" ? "is a folder" : "is not a regular file");
  return real;
}

/**
 * The path to write a file to that `path` names inside `root`, after its folders were made. Throws `PathError` if a
 * symbolic link on the way leads out of `root` or into its `reserved` folder, or if something that is not a file is
 * in its place.
 */
export async function prepareFileInside(
  files: FileSystem,
  root: string,
  path: string,
  reserved: string,
): Promise<string> {
  const target = resolveUnreserved(root, path, reserved);
  const realRoot = await files.realPath(root);
  const folder = dirname(target);
  const existing = await deepestExisting(files, folder);
  const real = await files.realPath(existing);
  if (real !== realRoot && !isInside(realRoot, real)) throw leadsOut();
  await files.makeFolder(folder);
  // Links may have changed meanwhile.
  const place = join(await files.realPath(folder), basename(target));
  if (!isInside(realRoot, place)) throw leadsOut();
  requireUnreserved(realRoot, place, reserved);
  const kind = await files.kindOf(place);
  if (kind === "folder") throw new PathError("is a folder");
  if (kind === "other") throw new PathError("is not a regular file");
  return place;
}

async function deepestExisting(files: FileSystem, folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) if (await files.kindOf(at)) return at;
}

/** The path below `root` that `path` names. Throws `PathError` if it is outside of `root`. */
export function resolveInside(root: string, path: string): string {
  if (path.includes("\0")) throw new PathError("contains a NUL character");
  if (/^[a-z]:[\\/]/i.test(path)) throw leadsOut();
  if (/^[a-z][a-z0-9+.-]*:/i.test(path))
    throw new PathError("is a URL, not a path in the files folder", "outside");
  const target = resolve(root, path);
  if (!isInside(root, target)) throw leadsOut();
  return target;
}

/** Like `resolveInside`. Throws `PathError` for a path in the folder `reserved`, too. */
export function resolveUnreserved(root: string, path: string, reserved: string): string {
  const target = resolveInside(root, path);
  requireUnreserved(root, target, reserved);
  return target;
}

/** Some file systems ignore case. */
function requireUnreserved(root: string, path: string, reserved: string): void {
  const [folder = ""] = relative(root, path).split(sep);
  if (folder.toLowerCase() === reserved.toLowerCase())
    throw new PathError(`lies in ${reserved}, where the server keeps uploads`, "reserved");
}

function leadsOut(): PathError {
  return new PathError("leads out of the files folder", "outside");
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
