import { z } from "zod";

import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { isText } from "./media.ts";
import {
  type Attached,
  attachedTo,
  readUploadRef,
  UPLOAD_ID,
  UPLOAD_SCHEME,
  uploadRef,
} from "./upload-refs.ts";

/** Columns of a batch whose cells are attached to the requests. */
export const Attachment = z
  .strictObject({
    column: z
      .string()
      .min(1)
      .max(1000)
      .describe(
        "The name of the column, as templates write it; for inline tasks, the name of a value in `metadata`",
      ),
    type: z.enum(["image", "file"]),
  })
  .meta({ "x-name": "Attachment" });
export type Attachment = z.infer<typeof Attachment>;

export const Attachments = z
  .array(Attachment)
  .min(1)
  .max(16)
  .describe(
    "Columns with images or documents, which are added to the last message of the user. A cell holds the id of an " +
      "upload (`file-…`), whose bytes are read when the call is made, an `https:` or `http:` URL, which the provider " +
      "fetches, or a base64 `data:` URL; an empty one attaches nothing. Images are sent as parts `image_url`, documents " +
      "as parts `file`",
  );

const LONGEST_URL = 8192;

/** A cell names no image or document that can be attached. */
export class AttachmentError extends Error {
  override readonly name = "AttachmentError";
  readonly column: string;

  constructor(column: string, message: string) {
    super(message);
    this.column = column;
  }
}

/** The content parts that a row attaches. Throws `AttachmentError`. */
export function partsOf(
  attachments: readonly Attachment[],
  variables: ReadonlyMap<string, string>,
): JsonObject[] {
  return attachments.flatMap(({ column, type }) => {
    const cell = (variables.get(column) ?? "").trim();
    if (cell === "") return [];
    const url = urlIn(cell, type);
    if (url instanceof Error) throw new AttachmentError(column, url.message);
    return [type === "image" ? imagePart(url) : filePart(url, column)];
  });
}

function imagePart(url: string): JsonObject {
  return { type: "image_url", image_url: { url } };
}

/** An upload has a name of its own, which is inserted later. */
function filePart(url: string, column: string): JsonObject {
  const name = url.startsWith(UPLOAD_SCHEME) ? {} : { filename: nameOfDocument(url, column) };
  return { type: "file", file: { ...name, file_data: url } };
}

function urlIn(cell: string, type: Attachment["type"]): string | Error {
  if (UPLOAD_ID.test(cell)) return uploadRef(cell);
  if (cell.startsWith(UPLOAD_SCHEME)) {
    const { id } = readUploadRef(cell) ?? {};
    return id === undefined
      ? new Error(`${shown(cell)} names no upload; ${WANTED}`)
      : uploadRef(id);
  }
  if (/^data:/i.test(cell)) return dataUrl(cell, type);
  const url = URL.canParse(cell) ? new URL(cell) : null;
  if (!url) return new Error(`${shown(cell)} is not a URL; ${WANTED}`);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return new Error(`${shown(url.protocol)} is not a scheme that can be attached; ${WANTED}`);
  if (cell.length > LONGEST_URL)
    return new Error(`the URL has ${cell.length} characters; ${LONGEST_URL} is the most`);
  return cell;
}

const WANTED =
  "give the id of an upload (file-…, see POST /files), an https: URL, or a data: URL with base64";

const DATA_URL = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+)(?:;[a-z0-9-]+=[^;,]{0,100}){0,5};base64,/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function dataUrl(cell: string, type: Attachment["type"]): string | Error {
  const [head, media = ""] = DATA_URL.exec(cell.slice(0, 1000)) ?? [];
  if (head === undefined)
    return new Error("the data URL must begin as data:image/png;base64, does");
  if (type === "image" && !/^image\//i.test(media))
    return new Error(
      `the data URL has the type ${media}, which is not an image; attach it as "file"`,
    );
  if (!BASE64.test(cell.slice(head.length)))
    return new Error("what follows in the data URL is not base64, or nothing");
  return cell;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** A provider identifies a document by its name. */
function nameOfDocument(url: string, column: string): string {
  const [, media] = /^data:([^;,]*)/i.exec(url.slice(0, 200)) ?? [];
  if (media === undefined) return new URL(url).pathname.split("/").at(-1) || column;
  if (media.toLowerCase() === "application/pdf") return `${column}.pdf`;
  return isText(media.toLowerCase()) ? `${column}.txt` : column;
}

/** Adds the parts to the last user message, each only once. `undefined` if there is no user message. */
export function withParts(messages: JsonObject[], parts: JsonObject[]): JsonObject[] | undefined {
  const last = messages.findLastIndex(({ role }) => role === "user");
  const message = messages[last];
  if (!message) return undefined;
  const { content = null } = message;
  const before: Json[] = Array.isArray(content)
    ? content
    : typeof content === "string" && content !== ""
      ? [{ type: "text", text: content }]
      : [];
  const there = new Set(before.map(identityOf));
  const fresh = parts.filter((part) => !there.has(identityOf(part)));
  return fresh.length === 0
    ? messages
    : messages.with(last, { ...message, content: [...before, ...fresh] });
}

/** Rows that are run again may have their attachments already. An upload is then identified by its id alone. */
function identityOf(part: Json): string | undefined {
  if (!isJsonObject(part)) return undefined;
  const [one] = attachedTo({ messages: [{ content: [part] }] });
  if (!one) return undefined;
  return `${one.type} ${readUploadRef(one.url)?.id ?? one.url}`;
}

/** Assumed tokens of an image. The true number depends on model and size (765 for 1,024 × 1,024 with GPT-4o). */
const IMAGE_TOKENS = 1000;
const BYTES_PER_TEXT_TOKEN = 4;
/** Assumed tokens of a document of about a page; larger documents count as more. */
const DOCUMENT_TOKENS = 1000;
const BYTES_PER_DOCUMENT_TOKEN = 50;

/** Estimates the tokens of the images and documents of a request. Only the provider knows the true number. */
export function attachedTokens(body: JsonObject): number {
  return attachedTo(body).reduce((sum, one) => sum + tokensOf(one), 0);
}

function tokensOf({ type, url }: Attached): number {
  if (type === "image") return IMAGE_TOKENS;
  const { type: media, bytes } = readUploadRef(url)?.facts ?? factsOfUrl(url);
  return isText(media)
    ? Math.ceil(bytes / BYTES_PER_TEXT_TOKEN)
    : DOCUMENT_TOKENS + Math.ceil(bytes / BYTES_PER_DOCUMENT_TOKEN);
}

/** Nothing is known about the content behind other URLs. */
function factsOfUrl(url: string) {
  const [, type] = /^data:([^;,]*)/i.exec(url.slice(0, 200)) ?? [];
  return type === undefined
    ? { type: "", bytes: 0 }
    : { type: type.toLowerCase(), bytes: Math.floor(url.length * 0.75) };
}
