import { createHash } from "node:crypto";
import { join } from "node:path";

import type { Context } from "../context.ts";
import { AppError, invalid } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import {
  explainWriting,
  removeLeftovers,
  removeTemporary,
  writeTemporary,
  writeWhole,
} from "../lib/write-whole.ts";
import { listKeysBySeq } from "../store/api-keys.ts";
import * as store from "../store/files.ts";
import { type Caller, endOfKey, keyEnded } from "./caller.ts";
import { roomFor, writeStored } from "./stored-bytes.ts";
import { writtenBy } from "./written-by.ts";

/** Uploads lie here, inside the files folder; nothing else is written there. */
export const UPLOADS = ".uploads";
const LONGEST_NAME = 255;
export const FILE_ID = /^file-[0-9a-z]{1,60}$/;

/** A file that is at a URL, for as long as it is read. */
export type FetchedFile = { path: string; remove(): Promise<void> };

/** Fetches a file for a while; it counts as an upload would, and is not kept. Throws `RefusedTarget`. */
export async function fetchFile(
  ctx: Context,
  caller: Pick<Caller, "key">,
  content: AsyncIterable<Uint8Array>,
): Promise<FetchedFile> {
  const room = await roomFor(ctx, caller.key);
  let bytes = 0;
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      bytes += chunk.length;
      if (bytes > room.bytes) throw room.refusal;
      yield chunk;
    }
  }
  const folder = join(ctx.config.filesDir, UPLOADS);
  const path = await asStoring(async () => {
    await ctx.files.makeFolder(folder);
    const place = join(folder, newId(ctx, "file"));
    return writeTemporary(ctx, place, writtenBy(ctx, "upload"), measured());
  });
  return { path, remove: () => removeTemporary(ctx, path) };
}

const NETWORK = new Set(["connect", "getaddrinfo", "recv", "tls"]);

/** Explains what the file system refuses. */
async function asStoring<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error && "syscall" in error)) throw error;
    // Errors of the network, where the content comes from, have a system call, too.
    if (NETWORK.has(String(error.syscall))) throw error;
    throw new AppError(
      "SERVICE_UNAVAILABLE",
      `The file cannot be stored: ${explainWriting(error)}`,
    );
  }
}

/**
 * Stores a file as it comes, no larger than `MAX_FILE_BYTES`; a row tells of it once it is there whole, and
 * the key is still valid then.
 */
export async function storeFile(
  ctx: Context,
  caller: Caller,
  name: string,
  content: AsyncIterable<Uint8Array>,
): Promise<store.StoredFile> {
  requireName(name);
  const room = await roomFor(ctx, caller.key);
  const now = ctx.clock.now();
  const id = newId(ctx, "file");
  const folder = join(ctx.config.filesDir, UPLOADS);
  const hash = createHash("sha256");
  let bytes = 0;
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      bytes += chunk.length;
      if (bytes > ctx.config.maxFileBytes)
        throw new AppError(
          "PAYLOAD_TOO_LARGE",
          `The file is larger than ${ctx.config.maxFileBytes} bytes (MAX_FILE_BYTES)`,
        );
      if (bytes > room.bytes) throw room.refusal;
      hash.update(chunk);
      yield chunk;
    }
  }
  await asStoring(async () => {
    await ctx.files.makeFolder(folder);
    await writeWhole(ctx, join(folder, id), writtenBy(ctx, "upload"), measured());
  });
  const file = {
    id,
    name,
    bytes,
    sha256: hash.digest("hex"),
    apiKey: caller.key,
    createdAt: now,
  };
  try {
    await requireValid(ctx, caller);
    await writeStored(ctx, caller.key, { file: store.insertFile(file) });
  } catch (error) {
    // Refused for certain; of other failures nobody knows whether the row is there.
    if (error instanceof AppError) await ctx.files.remove(pathOf(ctx, id));
    throw error;
  }
  return getFile(ctx, id);
}

/** An upload takes its time, in which the key that it came with may have ended, in another process, too. */
async function requireValid({ db, clock }: Context, caller: Caller): Promise<void> {
  const [key] = await listKeysBySeq(db, [caller.key]);
  if (!key || endOfKey(key, caller.secretHash) <= clock.now()) throw keyEnded();
}

/** Longer no upload is silent: a client that sends nothing is cut off before. */
const SILENT_UPLOAD_MS = 3_600_000;

/**
 * Removes what uploads have left whose process was killed. On a shared database the folder may be that of
 * other processes, too, so that only what nobody writes to any more is taken for left.
 */
export async function removeLeftUploads(ctx: Context): Promise<void> {
  const owner = ctx.isExclusive ? writtenBy(ctx, "upload").owner : undefined;
  await removeLeftovers(ctx, join(ctx.config.filesDir, UPLOADS), {
    owner,
    before: ctx.clock.now() - SILENT_UPLOAD_MS,
  });
}

function requireName(name: string): void {
  if (name.length > LONGEST_NAME)
    throw invalid([
      { path: "file", message: `its name is longer than ${LONGEST_NAME} characters` },
    ]);
  if (/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u.test(name) || !name.isWellFormed())
    throw invalid([{ path: "file", message: "its name has characters that no name may have" }]);
}

export async function getFile(ctx: Context, id: string): Promise<store.StoredFile> {
  const file = await store.findFile(ctx.db, id);
  if (!file) throw new AppError("FILE_NOT_FOUND", `There is no file with id ${id}`);
  return file;
}

/** One page of uploads and how many there are. */
export async function listFiles(ctx: Context, page: store.FilePage) {
  return {
    files: await store.listFiles(ctx.reads.db, page),
    total: await store.countFiles(ctx.reads.db),
  };
}

/** An upload and its bytes, of which none is read before they are sent. */
export async function openFile(ctx: Context, id: string) {
  const file = await getFile(ctx, id);
  return { file, content: await ctx.files.blob(await requireBytes(ctx, id)) };
}

/** Deletes an upload. Batches that were made of it keep what they read. */
export async function deleteFile(ctx: Context, id: string): Promise<void> {
  const { deleted } = await ctx.writer.write({ deleted: store.deleteFile(id) });
  if (deleted.changed === 0) throw new AppError("FILE_NOT_FOUND", `There is no file with id ${id}`);
  await ctx.files.remove(pathOf(ctx, id));
}

/** Where the upload lies that `inputFile` names, and what the client calls it; `undefined` where it is a path. */
export async function findUpload(
  ctx: Context,
  inputFile: string,
): Promise<{ path: string; name: string } | undefined> {
  if (!FILE_ID.test(inputFile)) return undefined;
  const file = await store.findFile(ctx.db, inputFile);
  return file && { path: await requireBytes(ctx, file.id), name: file.name };
}

async function requireBytes(ctx: Context, id: string): Promise<string> {
  const path = pathOf(ctx, id);
  if (await ctx.files.kindOf(path)) return path;
  throw new AppError(
    "FILE_NOT_FOUND",
    `The content of file ${id} is not in the files folder of this process any more`,
  );
}

function pathOf(ctx: Context, id: string): string {
  return join(ctx.config.filesDir, UPLOADS, id);
}
