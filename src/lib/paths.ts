import { lstat, realpath } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";

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
