import type { Context } from "../context.ts";
import { isImage, mediaTypeOf, SIGNATURE_BYTES } from "../domain/media.ts";
import {
  type Attached,
  attachedTo,
  type FileFacts,
  mapUploads,
  readUploadRef,
  UPLOAD_SCHEME,
  uploadRef,
} from "../domain/upload-refs.ts";
import { AppError, invalid } from "../errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { portionsOf } from "../lib/portions.ts";
import { findFiles, type NamedUpload } from "../store/files.ts";
import { readRows } from "../store/rows.ts";
import { asReading } from "./files.ts";
import type { PreparedRow } from "./prepare-row.ts";

/*
 * Requests refer to uploads by their ids (`domain/upload-refs.ts`). Before a request is stored, its uploads are
 * looked up, and their type, size and hash are added to the reference. So their sizes are known, requests with
 * different uploads of the same bytes are equal, and the bytes that are sent later are those that were checked. Of a
 * client's reference only the id is used. Deleting an upload does not check for tasks that attach it; those that have
 * not been called fail as `ATTACHMENT_MISSING`.
 */

/** How many files are read at once. */
const MOST_OPEN = 32;

/** The facts about uploads, or why one cannot be attached, by id. */
type Uploads = ReadonlyMap<string, Known>;
type Known = { name: string; facts: FileFacts } | { problem: string };

/** The places where a request refers to uploads. */
function uploadsIn(body: JsonObject): Attached[] {
  return attachedTo(body).filter(({ url }) => url.startsWith(UPLOAD_SCHEME));
}

/** Completes the references of rows. Problems are added to the issues of the row. */
export async function attachUploads(ctx: Context, rows: readonly PreparedRow[]): Promise<void> {
  const attaching = rows.flatMap(({ uploads, issues }) =>
    uploads ? [{ ...uploads, issues }] : [],
  );
  if (attaching.length === 0) return;
  const known = await readUploads(
    ctx,
    attaching.flatMap(({ body }) => uploadsIn(body)),
  );
  for (const { body, complete, fieldOf, issues } of attaching) {
    const problems = problemsOf(ctx, body, known);
    if (problems.length === 0) complete(completed(body, known));
    else for (const { url, message } of problems) issues.push({ field: fieldOf(url), message });
  }
}

/** The same for one request, which is returned. Throws `VALIDATION_ERROR`. */
export async function attachUploadsTo(ctx: Context, body: JsonObject): Promise<JsonObject> {
  const attached = uploadsIn(body);
  if (attached.length === 0) return body;
  const known = await readUploads(ctx, attached);
  const problems = problemsOf(ctx, body, known);
  if (problems.length > 0)
    throw invalid(problems.map(({ message }) => ({ path: "messages", message })));
  return completed(body, known);
}

function completed(body: JsonObject, known: Uploads): JsonObject {
  return mapUploads(body, (one) => {
    const { id = "" } = readUploadRef(one.url) ?? {};
    const upload = known.get(id);
    if (!upload || "problem" in upload) return one;
    return { ...one, url: uploadRef(id, upload.facts), name: one.name ?? upload.name };
  });
}

function problemsOf({ config }: Context, body: JsonObject, known: Uploads): Problem[] {
  const most = config.maxAttachmentBytes;
  const problems: Problem[] = [];
  let bytes = 0;
  for (const { url, type } of uploadsIn(body)) {
    const { id = "" } = readUploadRef(url) ?? {};
    const upload = known.get(id) ?? { problem: `${url.slice(0, 100)} names no upload` };
    if ("problem" in upload) problems.push({ url, message: upload.problem });
    else if (type === "image" && !isImage(upload.facts.type))
      problems.push({ url, message: `upload ${id} (${upload.name}) ${NO_IMAGE}` });
    else if ((bytes += upload.facts.bytes) > most)
      problems.push({
        url,
        message: `with upload ${id} the request attaches ${bytes} bytes; ${most} are the most (MAX_ATTACHMENT_BYTES)`,
      });
  }
  return problems;
}

type Problem = { url: string; message: string };

const NO_IMAGE = 'is not a PNG, JPEG, GIF or WebP; attach it as "file", or convert it';

async function readUploads(ctx: Context, attached: Attached[]): Promise<Uploads> {
  const ids = new Set(attached.flatMap(({ url }) => readUploadRef(url)?.id ?? []));
  const known = new Map<string, Known>();
  for (const id of ids)
    known.set(id, { problem: `there is no upload ${id}; upload the file first (POST /files)` });
  const found = await readRows(ctx.client, findFiles([...ids]));
  for (const some of portionsOf(found, () => 1, MOST_OPEN))
    for (const [id, upload] of await Promise.all(some.map((file) => lookInto(ctx, file))))
      known.set(id, upload);
  return known;
}

async function lookInto(ctx: Context, file: NamedUpload): Promise<[id: string, Known]> {
  const { id, name, bytes, sha256 } = file;
  if (bytes === 0) return [id, { problem: `upload ${id} (${name}) is empty` }];
  try {
    const start = await readStart(ctx, id);
    if (start) return [id, { name, facts: { type: mediaTypeOf(name, start), bytes, sha256 } }];
  } catch (error) {
    // If the bucket cannot be reached, nothing is known about its files.
    if (error instanceof AppError) throw error;
  }
  const problem = `the content of upload ${id} (${name}) cannot be read from the files of this process (FILES_DIR or FILES_URL); upload it again`;
  return [id, { problem }];
}

async function readStart(ctx: Context, id: string): Promise<Uint8Array | undefined> {
  const opened = await asReading(() => ctx.fileStore.open({ upload: id }));
  if (!opened) return undefined;
  const { content, bytes } = opened;
  if ("blob" in content)
    return new Uint8Array(await content.blob.slice(0, SIGNATURE_BYTES).arrayBuffer());
  const last = Math.min(bytes, SIGNATURE_BYTES) - 1;
  return Buffer.concat(await Array.fromAsync(content.read({ first: 0, last })));
}
