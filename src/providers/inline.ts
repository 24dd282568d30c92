import { createHash } from "node:crypto";

import type { Failure } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import {
  attachedTo,
  mapUploads,
  mayReferToUploads,
  readUploadRef,
  type UploadRef,
} from "../domain/upload-refs.ts";
import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject } from "../lib/json.ts";
import type { ReadUpload } from "../lib/upload-reader.ts";
import { failure } from "./classify.ts";

/** A request cannot be sent because of its attachments. */
export class UnsentError extends Error {
  override readonly name = "UnsentError";
  readonly failure: Failure;

  constructor(why: Failure) {
    super(why.message);
    this.failure = why;
  }
}

/** Roughly how many bytes of uploads the JSON text of a request refers to. */
export function bytesToInline(body: string): number {
  if (!mayReferToUploads(body)) return 0;
  let bytes = 0;
  for (const [, size] of body.matchAll(/"upload:file-[^"&]*&bytes=(\d{1,15})&/g))
    bytes += Number(size);
  return bytes;
}

/** Replaces references to uploads by their bytes. Throws `UnsentError`. */
export async function inlineUploads(
  body: string,
  read: ReadUpload,
  signal: AbortSignal,
): Promise<string> {
  const request = mayReferToUploads(body) ? parseExactOrNone(body) : undefined;
  if (!isJsonObject(request)) return body;
  const urls = new Map<string, string>();
  for (const { url } of attachedTo(request)) {
    const ref = readUploadRef(url);
    // One after the other: together they may be large.
    if (ref && !urls.has(url)) urls.set(url, await dataUrlOf(ref, read));
    signal.throwIfAborted();
  }
  if (urls.size === 0) return body;
  const inlined = mapUploads(request, (one) => ({ ...one, url: urls.get(one.url) ?? one.url }));
  return JSON.stringify(inlined);
}

async function dataUrlOf({ id, facts }: UploadRef, read: ReadUpload): Promise<string> {
  // The references in stored requests include the facts about their uploads.
  if (!facts) throw lost(id, "is not known");
  let content: Buffer | null;
  try {
    content = await read(id, facts.bytes);
  } catch (error) {
    const { code, message: why = "" } = error as { code?: unknown; message?: string };
    const message = `The content of upload ${id} could not be read (${String(code ?? why)}) by the process that made the call`;
    throw new UnsentError(failure("attachment_unreadable", message));
  }
  if (content === null) throw lost(id, "is not there any more");
  if (createHash("sha256").update(content).digest("hex") !== facts.sha256)
    throw lost(id, "is not what it was when the task was created");
  return `data:${facts.type};base64,${content.toString("base64")}`;
}

function lost(id: string, what: string): UnsentError {
  const message =
    `The content of upload ${id} ${what}: it was deleted, or the process that made the call does not share ` +
    "FILES_DIR or FILES_URL with the one that took the upload. Upload it again, and send the row again with the new id";
  return new UnsentError(failure("attachment_missing", message));
}

/**
 * Whether a provider ignores documents without an error: Anthropic's chat completions ignore parts of type `file`
 * (https://docs.anthropic.com/en/api/openai-sdk#detailed-openai-compatible-api-support).
 */
export function leavesOutDocuments(provider: Provider): boolean {
  return provider.kind === "openai" && new URL(provider.baseUrl).hostname === "api.anthropic.com";
}

/** Throws `UnsentError` if a request has documents. */
export function requireNoDocuments(body: string): void {
  if (!body.includes('"type":"file"')) return;
  const request = parseExactOrNone(body);
  if (!isJsonObject(request) || !attachedTo(request).some(({ type }) => type === "file")) return;
  const message =
    "Anthropic's OpenAI-compatible API leaves documents out, so that the answer would not be about them. Attach " +
    "the pages as images, or use another provider or a gateway for the model";
  throw new UnsentError(failure("attachment_unsupported", message));
}
