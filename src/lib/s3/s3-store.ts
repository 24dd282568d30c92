import { join, relative, sep } from "node:path";

import {
  type FileName,
  type FileStore,
  MOST_ID_BYTES,
  type Part,
  readStoreId,
  STORE_ID,
  UPLOADS,
} from "../file-store.ts";
import { newId } from "../ids.ts";
import { PathError, resolveUnreserved } from "../paths.ts";
import { type By, removeTemporary, type Unfinished, writeTemporary } from "../write-whole.ts";
import { createObjects, type S3Objects } from "./objects.ts";
import { inParts, MOST_PARTS, PART_BYTES } from "./parts.ts";
import { type Bucket, createSender, type Machine } from "./requests.ts";
import { StorageError } from "./storage-error.ts";

export type S3StoreOptions = {
  bucket: Bucket;
  /**
   * The folder that clients' absolute paths begin with, as for the local store. Local copies are written to it, too.
   */
  root: string;
  maxFileBytes: number;
  machine: Machine;
  local: Unfinished;
  /** Marks local copies as those of this server. */
  by: () => By;
};

/** Bytes that are read at a time. */
const READ_BYTES = 4 * 1024 * 1024;
const LONGEST_KEY_BYTES = 1024;
/** Disk space that local copies leave free. */
const SPARE_BYTES = 64 * 1024 * 1024;
/** An upload in parts that takes longer than a day was abandoned. */
const LONGEST_UPLOAD_MS = 86_400_000;

/**
 * The store that is a bucket. Objects appear whole or not at all, also when they replace others; a reader reads one
 * version. Failures throw `StorageError`.
 */
export function createS3Store(options: S3StoreOptions): FileStore {
  const { bucket, root, machine, local } = options;
  const objects = createObjects(createSender(bucket, machine));
  const keyOf = (name: FileName) => toKey(options, name);
  // Files that are larger than an upload may be are divided in the same way.
  const partBytes = Math.max(PART_BYTES, Math.ceil(options.maxFileBytes / MOST_PARTS));

  return {
    async check(path) {
      keyOf({ path });
    },
    async open(name) {
      const key = keyOf(name);
      const found = await objects.find(key);
      if (!found) return undefined;
      const { bytes, etag } = found;
      return {
        bytes,
        version: etag,
        content: { read: (part) => readPart(objects, key, part, etag) },
      };
    },
    async toDisk(name) {
      const opened = await this.open(name);
      if (!opened || "blob" in opened.content) return undefined;
      const { bytes, content } = opened;
      const folder = join(root, UPLOADS);
      await local.files.makeFolder(folder);
      await requireRoom(local, folder, bytes);
      const path = await writeTemporary(
        local,
        join(folder, newId(machine, "copy")),
        options.by(),
        content.read({ first: 0, last: bytes - 1 }),
      );
      return { path, release: () => removeTemporary(local, path) };
    },
    async write(name, _, pieces) {
      await writeObject(objects, keyOf(name), pieces, partBytes);
    },
    async removeLeft(name) {
      const key = keyOf(name);
      try {
        for (const upload of await objects.uploads(key))
          if (upload.key === key) await objects.abort(key, upload.uploadId);
      } catch (error) {
        // Unfinished parts are invisible to clients, so credentials that may not list or abort them do not prevent
        // writing.
        if (!(error instanceof StorageError) || error.isPassing) throw error;
      }
    },
    async remove(name) {
      await objects.remove(keyOf(name));
    },
    async *uploads() {
      const folder = `${bucket.prefix}${UPLOADS}/`;
      for await (const page of objects.list(folder))
        yield page.map(({ key, changedAt }) => ({ id: key.slice(folder.length), changedAt }));
    },
    async sweep() {
      const before = machine.clock.now() - LONGEST_UPLOAD_MS;
      for (const { key, uploadId, begunAt } of await objects.uploads(bucket.prefix))
        if (key.startsWith(bucket.prefix) && begunAt < before) await objects.abort(key, uploadId);
    },
    async identify(fresh) {
      const key = `${bucket.prefix}${UPLOADS}/${STORE_ID}`;
      const read = async () => readStoreId(await objects.text(key, MOST_ID_BYTES));
      const known = await read();
      if (known !== undefined) return known;
      const body = new TextEncoder().encode(fresh);
      // Servers without conditional writes accept every write; then the last one counts.
      if (!(await objects.put(key, body, true)) && (await read()) === undefined)
        await objects.put(key, body);
      return (await read()) ?? fresh;
    },
  };
}

/** Throws `PathError` if a client's path is outside of the store. */
function toKey({ bucket, root }: Pick<S3StoreOptions, "bucket" | "root">, name: FileName): string {
  if ("upload" in name) return `${bucket.prefix}${UPLOADS}/${name.upload}`;
  const place = resolveUnreserved(root, name.path, UPLOADS);
  const key = bucket.prefix + relative(root, place).split(sep).join("/");
  if (!key.isWellFormed()) throw new PathError("is not well-formed text");
  if (Buffer.byteLength(key) > LONGEST_KEY_BYTES)
    throw new PathError(`is longer than the ${LONGEST_KEY_BYTES} bytes that a bucket takes`);
  return key;
}

async function* readPart(
  objects: S3Objects,
  key: string,
  { first, last }: Part,
  etag: string,
): AsyncGenerator<Uint8Array> {
  for (let at = first; at <= last; at += READ_BYTES)
    yield await objects.get(key, { first: at, last: Math.min(last, at + READ_BYTES - 1) }, etag);
}

async function writeObject(
  objects: S3Objects,
  key: string,
  pieces: AsyncIterable<string | Uint8Array>,
  partBytes: number,
): Promise<void> {
  let uploadId: string | undefined;
  const etags: string[] = [];
  try {
    for await (const { bytes, isLast } of inParts(pieces, partBytes)) {
      if (isLast && uploadId === undefined) {
        await objects.put(key, bytes);
        return;
      }
      if (etags.length === MOST_PARTS)
        throw new StorageError(`a file may have ${MOST_PARTS * partBytes} bytes at most`, {
          isPassing: false,
        });
      uploadId ??= await objects.begin(key);
      etags.push(await objects.putPart(key, uploadId, etags.length + 1, bytes));
    }
    if (uploadId !== undefined) await objects.complete(key, uploadId, etags);
  } catch (error) {
    // An upload that cannot be aborted now is removed by a later sweep.
    if (uploadId !== undefined) await objects.abort(key, uploadId).catch(() => undefined);
    throw error;
  }
}

async function requireRoom({ files }: Unfinished, folder: string, bytes: number): Promise<void> {
  const { free } = await files.space(folder);
  if (bytes < free - SPARE_BYTES) return;
  throw new StorageError(
    `it has ${bytes} bytes, and the disk of this process has ${free} free, of which ${SPARE_BYTES} are kept for other work`,
    { isPassing: true },
  );
}
