import { join } from "node:path";

import { UPLOADS } from "./file-store.ts";
import type { FileSystem } from "./file-system.ts";
import { createObjects } from "./s3/objects.ts";
import { type Bucket, createSender, type Machine } from "./s3/requests.ts";

/** The first bytes of an upload, at most `most` + 1; `null` if its content is gone. */
export type ReadUpload = (id: string, most: number) => Promise<Buffer | null>;

/** Where uploads are stored: in a bucket, or else in a folder. It can be posted to a thread. */
export type UploadPlace = { folder: string; bucket: Bucket | undefined };

/** Reads uploads without a `FileStore`, as in threads. Failures throw the system's error or a `StorageError`. */
export function createUploadReader(
  { folder, bucket }: UploadPlace,
  { files, ...machine }: Machine & { files: Pick<FileSystem, "readStart"> },
): ReadUpload {
  if (!bucket) return (id, most) => readFile(files, join(folder, UPLOADS, id), most);
  const objects = createObjects(createSender(bucket, machine));
  return async (id, most) => {
    const key = `${bucket.prefix}${UPLOADS}/${id}`;
    const found = await objects.find(key);
    if (!found) return null;
    if (found.bytes === 0) return Buffer.alloc(0);
    const last = Math.min(found.bytes, most + 1) - 1;
    return Buffer.from(await objects.get(key, { first: 0, last }, found.etag));
  };
}

async function readFile(
  files: Pick<FileSystem, "readStart">,
  path: string,
  most: number,
): Promise<Buffer | null> {
  try {
    return await files.readStart(path, most + 1);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
