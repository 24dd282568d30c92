import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/*
 * Requests name uploads that are to be sent as images or documents, and do not hold their bytes, which would be
 * stored once for each row: `upload:file-…` where a provider takes a data URL. In what is stored the reference
 * says what the file is, too: `upload:file-…?type=image/png&bytes=1234&sha256=…`. The thread that makes a call
 * puts the bytes in their place.
 */

export const UPLOAD_SCHEME = "upload:";

export type FileFacts = { type: string; bytes: number; sha256: string };
export type UploadRef = { id: string; facts: FileFacts | null };

const REFERENCE =
  /^upload:(file-[0-9a-z]{1,60})(?:\?type=([a-z0-9.+/-]{1,100})&bytes=(\d{1,15})&sha256=([0-9a-f]{64}))?$/;

/** The id of an upload, as clients write it. */
export const UPLOAD_ID = /^file-[0-9a-z]{1,60}$/;

/** Parses a reference; `null` if the text is not one. */
export function readUploadRef(text: string): UploadRef | null {
  const [, id, type, bytes, sha256] = REFERENCE.exec(text) ?? [];
  if (id === undefined) return null;
  const isWhole = type !== undefined && bytes !== undefined && sha256 !== undefined;
  return { id, facts: isWhole ? { type, bytes: Number(bytes), sha256 } : null };
}

export function uploadRef(id: string, facts?: FileFacts): string {
  if (!facts) return `${UPLOAD_SCHEME}${id}`;
  return `${UPLOAD_SCHEME}${id}?type=${facts.type}&bytes=${facts.bytes}&sha256=${facts.sha256}`;
}

type AttachmentType = "image" | "file";

/** An image or document of a request: the URL of its bytes and, for documents, its name. */
export type Attached = { type: AttachmentType; url: string; name: string | null };

/** Whether the JSON text of a request may refer to uploads; only parsing it shows for certain. */
export function mayReferToUploads(text: string): boolean {
  return text.includes(`"${UPLOAD_SCHEME}`);
}

/** The images and documents of a chat or responses request. */
export function attachedTo(body: JsonObject): Attached[] {
  const found: Attached[] = [];
  mapAttached(body, (one) => {
    found.push(one);
    return one;
  });
  return found;
}

/** The same request with its uploads replaced, whichever way it refers to them. */
export function mapUploads(body: JsonObject, change: (one: Attached) => Attached): JsonObject {
  return mapAttached(body, (one) => (one.url.startsWith(UPLOAD_SCHEME) ? change(one) : one));
}

/** Returns the same object if nothing changes. */
function mapAttached(body: JsonObject, change: (one: Attached) => Attached): JsonObject {
  const { messages = null, input = null } = body;
  return withMember(
    withMember(body, "messages", mapMessages(messages, change)),
    "input",
    mapMessages(input, change),
  );
}

function mapMessages(messages: Json, change: (one: Attached) => Attached): Json {
  if (!Array.isArray(messages)) return messages;
  return mapItems(messages, (message) => {
    if (!isJsonObject(message) || !Array.isArray(message["content"])) return message;
    const parts = mapItems(message["content"], (part) => mapPart(part, change));
    return withMember(message, "content", parts);
  });
}

function withMember(object: JsonObject, name: string, value: Json): JsonObject {
  return (object[name] ?? null) === value ? object : { ...object, [name]: value };
}

function mapItems(items: Json[], change: (item: Json) => Json): Json[] {
  const changed = items.map(change);
  return changed.some((item, i) => item !== items[i]) ? changed : items;
}

/**
 * The parts of OpenAI's chat (`image_url`, `file`) and of its responses (`input_image`, `input_file`)
 * (https://platform.openai.com/docs/api-reference/chat/create, …/responses/create).
 */
function mapPart(part: Json, change: (one: Attached) => Attached): Json {
  if (!isJsonObject(part)) return part;
  const { type, image_url: image = null, file = null } = part;
  if (type === "image_url" && isJsonObject(image))
    return withMember(part, "image_url", mapImage(image, "url", change));
  if (type === "image_url" || type === "input_image") return mapImage(part, "image_url", change);
  if (type === "file" && isJsonObject(file)) return withMember(part, "file", mapFile(file, change));
  return type === "input_file" ? mapFile(part, change) : part;
}

function mapImage(
  holder: JsonObject,
  name: string,
  change: (one: Attached) => Attached,
): JsonObject {
  const url = holder[name];
  if (typeof url !== "string") return holder;
  return withMember(holder, name, change({ type: "image", url, name: null }).url);
}

function mapFile(holder: JsonObject, change: (one: Attached) => Attached): JsonObject {
  const { file_data: url, filename } = holder;
  if (typeof url !== "string") return holder;
  const name = typeof filename === "string" ? filename : null;
  const after = change({ type: "file", url, name });
  if (after.url === url && after.name === name) return holder;
  return {
    ...holder,
    ...(after.name === null ? {} : { filename: after.name }),
    file_data: after.url,
  };
}
