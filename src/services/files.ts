import { createHash } from "node:crypto";
import { join } from "node:path";

import type { Context } from "../context.ts";
import { UPLOAD_ID } from "../domain/upload-refs.ts";
import { AppError, invalid } from "../errors.ts";
import { type LocalFile, type OpenedFile, UPLOADS } from "../lib/file-store.ts";
import { newId } from "../lib/ids.ts";
import { StorageError } from "../lib/s3/storage-error.ts";
import {
  explainWriting,
  removeLeftovers,
  removeTemporary,
  writeTemporary,
} from "../lib/write-whole.ts";
import { listKeysBySeq } from "../store/api-keys.ts";
import * as store from "../store/files.ts";
import { beginUpload, endUpload, isUploading, loosen } from "../store/loose-files.ts";
import { readRows } from "../store/rows.ts";
import { ALWAYS } from "../store/which.ts";
import { type Caller, endOfKey, keyEnded } from "./caller.ts";
import { discardUpload } from "./loose-files.ts";
import { roomFor, writeStored } from "./stored-bytes.ts";
import { writtenBy } from "./written-by.ts";

const LONGEST_NAME = 255;

/**
 * Downloads a file temporarily. It counts against the limits like an upload, and is not kept. Throws `RefusedTarget`.
 */
export async function fetchFile(
  ctx: Context,
  caller: Pick<Caller, "key">,
  content: AsyncIterable<Uint8Array>,
): Promise<LocalFile> {
  const room = await roomFor(ctx, caller.key);
  let bytes = 0;
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      bytes += chunk.length;
      if (bytes > room.bytes) throw room.refusal;
      yield chunk;
    }
  }
  const folder = uploadsFolder(ctx);
  const path = await asStoring(async () => {
    await ctx.files.makeFolder(folder);
    const place = join(folder, newId(ctx, "file"));
    return writeTemporary(ctx, place, writtenBy(ctx, "upload"), measured());
  });
  return { path, release: () => removeTemporary(ctx, path) };
}

const NETWORK = new Set(["connect", "getaddrinfo", "recv", "tls"]);

/** Turns errors of the file system or the bucket into explanations for clients. */
async function asStoring<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StorageError)
      throw new AppError("SERVICE_UNAVAILABLE", `The file cannot be stored: ${error.message}`);
    if (error instanceof AppError || !(error instanceof Error && "syscall" in error)) throw error;
    // Errors of the network that the content comes from also name a system call.
    if (NETWORK.has(String(error.syscall))) throw error;
    throw new AppError(
      "SERVICE_UNAVAILABLE",
      `The file cannot be stored: ${explainWriting(error)}`,
    );
  }
}

/** The fields of a file that are known when all of it has arrived. */
export type FileTerms = Partial<Pick<store.NewFile, "purpose" | "expiresAt">>;

/**
 * Stores a file while it arrives, up to `MAX_FILE_BYTES`. Its row is written when it is complete, if the key is still
 * valid then. `termsOf` is called after the last byte, and may refuse the file.
 */
export async function storeFile(
  ctx: Context,
  caller: Caller,
  name: string,
  content: AsyncIterable<Uint8Array>,
  termsOf: (file: { bytes: number; now: number }) => FileTerms = () => ({}),
): Promise<store.StoredFile> {
  requireName(name);
  const room = await roomFor(ctx, caller.key);
  const now = ctx.clock.now();
  const id = newId(ctx, "file");
  const hash = createHash("sha256");
  let bytes = 0;
  let terms: FileTerms = {};
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
    terms = termsOf({ bytes, now });
  }
  await upload(ctx, caller, id, measured(), () => ({
    id,
    name,
    bytes,
    sha256: hash.digest("hex"),
    apiKey: caller.key,
    createdAt: now,
    purpose: terms.purpose ?? null,
    expiresAt: terms.expiresAt ?? null,
  }));
  return getFile(ctx, id);
}

/** Writes the bytes, and then the row. If one of the two fails, the other is removed, at once or soon. */
async function upload(
  ctx: Context,
  caller: Caller,
  id: string,
  content: AsyncIterable<Uint8Array>,
  row: () => store.NewFile,
): Promise<void> {
  const { node } = ctx.live;
  ctx.uploads.add(id);
  try {
    await ctx.writer.write({ begun: beginUpload(id, node) });
    await asStoring(() => ctx.fileStore.write({ upload: id }, writtenBy(ctx, "upload"), content));
    await requireValid(ctx, caller);
    const { file } = await writeStored(ctx, caller.key, {
      file: store.insertFile(row(), isUploading(id, node)),
      ended: endUpload(id, node),
    });
    if (file.changed === 0)
      throw new AppError(
        "SERVICE_UNAVAILABLE",
        "This process was silent for longer than LEASE_SECONDS while the file came; send it again",
      );
    ctx.signals.emit("files", undefined);
  } catch (error) {
    // An unreachable store would make the caller wait again; the remains are found soon.
    const isAway = error instanceof AppError && error.code === "SERVICE_UNAVAILABLE";
    if (!isAway) await discardUpload(ctx, { id, node });
    throw error;
  } finally {
    ctx.uploads.delete(id);
  }
}

/** During an upload its key may have been revoked, also by another process. */
async function requireValid({ db, clock }: Context, caller: Caller): Promise<void> {
  const [key] = await listKeysBySeq(db, [caller.key]);
  if (!key || endOfKey(key, caller.secretHash) <= clock.now()) throw keyEnded();
}

/** The longest silence of an upload: a client that sends nothing is disconnected earlier. */
const SILENT_UPLOAD_MS = 3_600_000;

/**
 * Removes the remains of uploads and downloads of killed processes. On a shared database other processes may use the
 * same folder, so only files without recent writes are removed.
 */
export async function removeLeftUploads(ctx: Context): Promise<void> {
  const owner = ctx.isExclusive ? writtenBy(ctx, "upload").owner : undefined;
  const left = { owner, before: ctx.clock.now() - SILENT_UPLOAD_MS };
  await removeLeftovers(ctx, uploadsFolder(ctx), left);
  // Files of downloads (`part-files.ts`).
  await removeLeftovers(ctx, ctx.config.dataDir, left);
  await ctx.fileStore.sweep();
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
  const file = await store.findFile(ctx.db, id, ctx.clock.now());
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

/** An upload and its bytes, which are read only when they are sent. */
export async function openFile(
  ctx: Context,
  id: string,
): Promise<{ file: store.StoredFile; opened: OpenedFile }> {
  const file = await getFile(ctx, id);
  const opened = await asReading(() => ctx.fileStore.open({ upload: id }));
  return { file, opened: requireContent(id, opened) };
}

/** Deletes an upload. Batches that were made from it keep their rows. */
export async function deleteFile(ctx: Context, id: string): Promise<void> {
  if (!(await removeFile(ctx, id)))
    throw new AppError("FILE_NOT_FOUND", `There is no file with id ${id}`);
}

/** Deletes an upload if it is still there and `when` holds for its row. Returns whether it did. */
export async function removeFile(ctx: Context, id: string, when = ALWAYS): Promise<boolean> {
  const { deleted } = await ctx.writer.write({
    loose: loosen(id, when),
    deleted: store.deleteFile(id, when),
  });
  if (deleted.changed === 0) return false;
  ctx.signals.emit("files", undefined);
  await discardUpload(ctx, { id, node: null });
  return true;
}

/** How many files are removed at a time. */
const EXPIRED_AT_ONCE = 200;

/** Deletes expired files. */
export async function removeExpiredFiles(ctx: Context): Promise<void> {
  for (;;) {
    const due = await readRows(ctx.client, store.expiredFiles(ctx.clock.now(), EXPIRED_AT_ONCE));
    for (const { id } of due) await removeFile(ctx, id);
    if (due.length < EXPIRED_AT_ONCE) return;
  }
}

/** The upload that `inputFile` names, and the client's name for it; `undefined` if `inputFile` is a path. */
export async function findUpload(
  ctx: Context,
  inputFile: string,
): Promise<(LocalFile & { name: string }) | undefined> {
  if (!UPLOAD_ID.test(inputFile)) return undefined;
  const file = await store.findFile(ctx.db, inputFile, ctx.clock.now());
  if (!file) return undefined;
  const content = await asReading(() => ctx.fileStore.toDisk({ upload: file.id }));
  return { ...requireContent(file.id, content), name: file.name };
}

/** Turns errors of reading the store into explanations for clients. */
export async function asReading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    throw new AppError("SERVICE_UNAVAILABLE", `The file cannot be read: ${error.message}`);
  }
}

function requireContent<C>(id: string, content: C | undefined): C {
  if (content) return content;
  throw new AppError(
    "FILE_NOT_FOUND",
    `The content of file ${id} is not among the files of this process any more (FILES_DIR or FILES_URL)`,
  );
}

function uploadsFolder({ config }: Pick<Context, "config">): string {
  return join(config.filesDir, UPLOADS);
}
