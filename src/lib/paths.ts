import { lstat, mkdir, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";

/** A path leads out of its folder, or to something that is no file. */
export class PathError extends Error {
  override readonly name = "PathError";
}

/**
 * The real path of a regular file inside `root`, named relative to it or absolutely. `undefined`
 * where there is none. Throws `PathError` for everything else, symbolic links out of `root`
 * included. No message tells where `root` is.
 */
export async function findFileInside(root: string, path: string): Promise<string | undefined> {
  const target = resolveInside(root, path);
  let real: string;
  try {
    real = await realpath(target);
  } catch {
    return undefined;
  }
  if (!isInside(await realpath(root), real)) throw new PathError("leads out of the files folder");
  const info = await lstat(real);
  if (!info.isFile())
    throw new PathError(info.isDirectory() ? "is a folder" : "is not a regular file");
  return real;
}

/**
 * Where a file that `path` names inside `root` is to be written, its folders made. Throws `PathError`
 * where a symbolic link on the way leads out of `root`, or something that is no file is in its place.
 */
export async function prepareFileInside(root: string, path: string): Promise<string> {
  const target = resolveInside(root, path);
  const realRoot = await realpath(root);
  const folder = dirname(target);
  const existing = await deepestExisting(folder);
  const real = await realpath(existing);
  if (real !== realRoot && !isInside(realRoot, real))
    throw new PathError("leads out of the files folder");
  await mkdir(folder, { recursive: true });
  const place = join(await realpath(folder), basename(target));
  const info = await lstat(place).catch(() => undefined);
  if (info && !info.isFile() && !info.isSymbolicLink())
    throw new PathError(info.isDirectory() ? "is a folder" : "is not a regular file");
  return place;
}

async function deepestExisting(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) if (await lstat(at).catch(() => undefined)) return at;
}

/** The path below `root` that `path` names. Throws `PathError` where it names one elsewhere. */
export function resolveInside(root: string, path: string): string {
  if (path.includes("\0")) throw new PathError("contains a NUL character");
  if (/^[a-z][a-z0-9+.-]*:/i.test(path))
    throw new PathError("is a URL; give a path below the files folder");
  const target = resolve(root, path);
  if (!isInside(root, target)) throw new PathError("leads out of the files folder");
  return target;
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
