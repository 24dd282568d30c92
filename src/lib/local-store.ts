import { basename, dirname, join } from "node:path";

import {
  type FileName,
  type FileStore,
  MOST_ID_BYTES,
  readStoreId,
  STORE_ID,
  UPLOADS,
} from "./file-store.ts";
import type { FileSystem } from "./file-system.ts";
import { findFileInside, prepareFileInside } from "./paths.ts";
import {
  type By,
  removeLeftovers,
  removeTemporary,
  type Unfinished,
  writeTemporary,
  writeWhole,
} from "./write-whole.ts";

/** A file store in a folder. Failures throw the system's error. */
export function createLocalStore({ files, unfinished }: Unfinished, root: string): FileStore {
  async function find(name: FileName): Promise<string | undefined> {
    if ("path" in name) return findFileInside(files, root, name.path, UPLOADS);
    const path = join(root, UPLOADS, name.upload);
    return (await files.kindOf(path)) && path;
  }

  /** The path to write a file to, after its folder was made. */
  async function prepare(name: FileName): Promise<string> {
    if ("path" in name) return prepareFileInside(files, root, name.path, UPLOADS);
    await files.makeFolder(join(root, UPLOADS));
    return join(root, UPLOADS, name.upload);
  }

  return {
    async check(path) {
      await findFileInside(files, root, path, UPLOADS);
    },
    async open(name) {
      const path = await find(name);
      if (path === undefined) return undefined;
      try {
        const [version, blob] = [await files.versionOf(path), await files.blob(path)];
        return { bytes: blob.size, version, content: { blob } };
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
        throw error;
      }
    },
    async toDisk(name) {
      const path = await find(name);
      return path === undefined ? undefined : { path, release: async () => undefined };
    },
    async write(name, by, pieces) {
      await writeWhole({ files, unfinished }, await prepare(name), by, pieces);
    },
    async removeLeft(name, by) {
      const path = await prepare(name);
      const left = { ...by, before: 0, name: basename(path) };
      await removeLeftovers({ files, unfinished }, dirname(path), left);
    },
    async remove(name) {
      const path = await find(name);
      if (path !== undefined) await files.remove(path);
    },
    async *uploads() {
      const folder = join(root, UPLOADS);
      for await (const id of files.namesIn(folder))
        yield [{ id, changedAt: (await files.changedAt(join(folder, id))) ?? NaN }];
    },
    sweep: async () => undefined,
    async identify(fresh, by) {
      const path = join(root, UPLOADS, STORE_ID);
      const known = await readId(files, path);
      if (known !== undefined) return known;
      await files.makeFolder(join(root, UPLOADS));
      await writeFirst({ files, unfinished }, path, by, fresh);
      return (await readId(files, path)) ?? fresh;
    },
  };
}

/**
 * If several processes write an id at the same moment, the first one counts; on a file system without links, the
 * last.
 */
async function writeFirst(
  { files, unfinished }: Unfinished,
  path: string,
  by: By,
  id: string,
): Promise<void> {
  const temporary = await writeTemporary({ files, unfinished }, path, by, once(id), true);
  try {
    const isFirst = await files.link(temporary, path).catch(() => false);
    // The existing file may not contain an id.
    if (!isFirst && (await readId(files, path)) === undefined) await files.rename(temporary, path);
  } finally {
    await removeTemporary({ files, unfinished }, temporary);
  }
}

async function readId(files: FileSystem, path: string): Promise<string | undefined> {
  const bytes = await files.readStart(path, MOST_ID_BYTES).catch(() => undefined);
  return readStoreId(bytes?.toString());
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}
