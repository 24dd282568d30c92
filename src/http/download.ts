import process from "node:process";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";

import type { Context } from "hono";

import type { Context as AppContext } from "../context.ts";
import type { OpenedFile, Part } from "../lib/file-store.ts";
import { writePart } from "../services/part-files.ts";
import { headerRefs } from "./answer-headers.ts";
import { whileKeyValid } from "./connections.ts";
import { isKnown, UNCHANGED } from "./etag.ts";
import { methodOf } from "./head.ts";
import { countBytes, cutOut, readRange } from "./ranges.ts";
import type { AppEnv } from "./router.ts";
import { toByteStream, whileLogged } from "./stream.ts";

export type Download = {
  /** The suggested file name. */
  name: string;
  type: string;
  /** Changes with the content; `null` if the content is still changing, so that no part of it can be requested. */
  tag: string | null;
  /** A file, or a generated stream. */
  content: { opened: OpenedFile } | Generated;
};

type Generated = {
  read(): AsyncIterable<Uint8Array>;
  /** Throws if what was read since the tag was made is not what it names. */
  requireSame?(): Promise<void>;
  /** It is not compressed, as others are for clients that accept that. */
  isPacked?: boolean;
};

export const CONTENT_TYPES = {
  csv: "text/csv; charset=utf-8",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  jsonl: "application/jsonl; charset=utf-8",
  json: "application/json",
};

/** Bun sends the length of a body in memory or in a file, but not that of a stream, whatever the headers say. */
const SENDS_LENGTH_OF_STREAMS = process.versions["bun"] === undefined;
/** A part of up to this size is held in memory until it is complete. */
const MOST_HELD_BYTES = 1024 * 1024;

/** The documented answers of a download, whose content has these types. */
export const downloads = <C extends object>(description: string, content: C) => ({
  200: {
    description,
    headers: headerRefs(["Content-Disposition", "Accept-Ranges", "Content-Encoding", "ETag"]),
    content,
  },
  206: {
    description: "The part that `Range` asked for",
    headers: headerRefs(["Content-Disposition", "Content-Range", "ETag"]),
    content,
  },
  304: UNCHANGED,
});

/** Sends a file, or the requested part of it, compressed if the client accepts that. */
export async function sendDownload(c: Context<AppEnv>, file: Download): Promise<Response> {
  const { content } = file;
  const headers = new Headers({
    "Content-Type": file.type,
    "Content-Disposition": disposition(file.name),
  });
  const isCompressed =
    "read" in content &&
    content.isPacked !== true &&
    takesGzip(c) &&
    !(methodOf(c) === "GET" && c.req.header("range") !== undefined);
  if ("read" in content) headers.set("Vary", "Accept-Encoding");
  if (isCompressed) headers.set("Content-Encoding", "gzip");
  if (file.tag === null) {
    headers.set("Accept-Ranges", "none");
    return new Response(await wholeOf(c, content, isCompressed), { headers });
  }
  const tag = `"${file.tag}${isCompressed ? "-gzip" : ""}"`;
  headers.set("ETag", tag);
  headers.set("Accept-Ranges", "bytes");
  if (isKnown(c, tag)) return new Response(null, { status: 304, headers });
  const range = rangeFor(c, tag);
  const size = "opened" in content ? content.opened.bytes : undefined;
  const total = range === undefined ? size : (size ?? (await sizeOf(c, file.tag, content)));
  const part = total === undefined ? undefined : readRange(range, total);
  if (!part) {
    if (size !== undefined) headers.set("Content-Length", String(size));
    return new Response(await wholeOf(c, content, isCompressed), { headers });
  }
  headers.set("Content-Range", `bytes ${part.first}-${part.last}/${total}`);
  headers.set("Content-Length", String(part.last - part.first + 1));
  return new Response(await partOf(c, content, part), { status: 206, headers });
}

/** The `Range` header of a GET, unless `If-Range` names another version of the file. */
function rangeFor(c: Context<AppEnv>, tag: string): string | undefined {
  if (methodOf(c) !== "GET") return undefined;
  const version = c.req.header("if-range");
  return version === undefined || version === tag ? c.req.header("range") : undefined;
}

const MOST_SIZES = 1000;
const sizes = new WeakMap<AppContext, Map<string, number>>();

/**
 * The size of a generated stream. It is generated once to count it, and cached, because clients that download in
 * parts request it often.
 */
async function sizeOf(c: Context<AppEnv>, tag: string, content: Content): Promise<number> {
  if ("opened" in content) return content.opened.bytes;
  const { ctx } = c.var;
  const known = sizes.get(ctx) ?? new Map<string, number>();
  sizes.set(ctx, known);
  const size = known.get(tag) ?? (await countBytes(ofTag(content, readAll(c, content))));
  if (known.size >= MOST_SIZES) known.clear();
  known.set(tag, size);
  return size;
}

type Content = Download["content"];

type Body = Blob | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

async function wholeOf(c: Context<AppEnv>, content: Content, isCompressed: boolean): Promise<Body> {
  if ("opened" in content) return bodyOf(c, content.opened);
  const pieces = whileLogged(c, ofTag(content, readAll(c, content)));
  return toByteStream(isCompressed ? gzipped(pieces) : pieces);
}

async function partOf(c: Context<AppEnv>, content: Content, part: Part): Promise<Body> {
  if ("opened" in content) return bodyOf(c, content.opened, part);
  return withLength(c, () => ofTag(content, cutOut(readAll(c, content), part)), part);
}

function readAll(c: Context<AppEnv>, content: Generated): AsyncIterable<Uint8Array> {
  return whileKeyValid(c, content.read());
}

/** Passes pieces on, the last one only if all were of the version that the tag names. Otherwise they break off. */
async function* ofTag(
  { requireSame }: Generated,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let last: Uint8Array | undefined;
  for await (const piece of pieces) {
    if (last) yield last;
    last = piece;
  }
  await requireSame?.();
  if (last) yield last;
}

/** A file of the store, or a part of it. */
async function bodyOf(c: Context<AppEnv>, { bytes, content }: OpenedFile, part?: Part) {
  if ("blob" in content) return part ? content.blob.slice(part.first, part.last + 1) : content.blob;
  const asked = part ?? { first: 0, last: bytes - 1 };
  const read = () => whileKeyValid(c, content.read(asked));
  return part || bytes <= MOST_HELD_BYTES
    ? withLength(c, read, asked)
    : toByteStream(whileLogged(c, read()));
}

/** The content of `read` in memory or in a file, so that its length can be sent, if there is room for that. */
async function withLength(
  c: Context<AppEnv>,
  read: () => AsyncIterable<Uint8Array>,
  { first, last }: Part,
): Promise<Body> {
  const bytes = last - first + 1;
  if (bytes > MOST_HELD_BYTES) {
    const { ctx } = c.var;
    const signal = c.req.raw.signal;
    const file = SENDS_LENGTH_OF_STREAMS ? undefined : await writePart(ctx, read, bytes, signal);
    return file ?? toByteStream(whileLogged(c, read()));
  }
  const held: Uint8Array[] = [];
  for await (const piece of read()) held.push(piece.slice());
  return new Uint8Array(Buffer.concat(held));
}

async function* gzipped(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(pieces);
  const gzip = createGzip();
  source.on("error", (error) => gzip.destroy(error));
  try {
    yield* source.pipe(gzip) as AsyncIterable<Uint8Array>;
  } finally {
    source.destroy();
    gzip.destroy();
  }
}

function takesGzip(c: Context<AppEnv>): boolean {
  const codings = (c.req.header("accept-encoding") ?? "").toLowerCase().split(",");
  return codings.some((one) => /^\s*gzip\s*(;\s*q=(1|0\.\d*[1-9])\s*.*)?$/.test(one));
}

/** The `Content-Disposition` header (RFC 6266) with the file's name in ASCII, and unchanged (RFC 8187). */
function disposition(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  if (plain === name) return `attachment; filename="${name}"`;
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
