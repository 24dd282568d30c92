import type { Context, MiddlewareHandler } from "hono";

import type { Context as AppContext } from "../context.ts";
import { PASSED_ON } from "../domain/request.ts";
import { AppError, invalid } from "../errors.ts";
import { type Clock, nextRound } from "../lib/clock.ts";
import { parseExact } from "../lib/exact-json.ts";
import { findFault } from "../lib/json-limits.ts";
import type { Json } from "../lib/json.ts";
import type { AppEnv } from "./router.ts";

/**
 * Reads the body of a request that has one, once: no larger than MAX_BODY_BYTES, valid UTF-8, JSON where
 * it says so, of a reasonable shape and no name twice in one object, and within BODY_TIMEOUT_SECONDS, so that nobody holds memory by sending
 * slowly. With `changesNothing` nobody need be sure that the client is still there. No body at all counts as an empty object where the client announced JSON.
 */
export function readBody(
  { clock, config: { maxBodyBytes, bodyTimeoutMs } }: AppContext,
  { changesNothing = false } = {},
): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    refuseEncoded(c.req.raw);
    const isJsonBody = isJson(c.req.header("content-type"));
    let whole = "";
    if (c.req.raw.body !== null) {
      const bytes = await withinTime(clock, readWhole(c.req.raw, maxBodyBytes), bodyTimeoutMs);
      keepBytes(c, bytes);
      whole = decodeUtf8(bytes);
    }
    const text = whole.trim();
    if (c.req.method !== "GET" && !changesNothing) await requireConnected(clock, c.req.raw);
    if (!isJsonBody && text !== "")
      throw new AppError(
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as `Content-Type: application/json`",
      );
    if (text === "" && !isJsonBody) forgetType(c);
    const value = text === "" ? {} : requireJson(text);
    const fault = findFault(text, value);
    if (fault) throw invalid([fault]);
    // What validators ask for; without this Hono would read and parse the body once more.
    c.req.json = async <T>() => value as T;
    c.req.text = async () => whole;
    await next();
  };
}

/** Clients such as `curl -d ''` name the type of a body that is not there, which validators would refuse. */
function forgetType(c: Context): void {
  const { raw } = c.req;
  if (!raw.headers.has("content-type")) return;
  const headers = new Headers(raw.headers);
  headers.delete("content-type");
  c.req.raw = new Request(raw.url, { method: raw.method, headers, signal: raw.signal });
}

/** A small body that is compressed can unfold to a very large one; of fields behind a body nothing is read. */
export function refuseEncoded({ headers }: Request): void {
  for (const [name, plain] of [
    ["Content-Encoding", "identity"],
    ["Transfer-Encoding", "chunked"],
  ] as const) {
    const coding = headers.get(name)?.trim().toLowerCase() ?? "";
    if (coding !== "" && coding !== plain)
      throw new AppError(
        "UNSUPPORTED_MEDIA_TYPE",
        `Send the body as it is, not compressed (${name}: ${coding.slice(0, 20)})`,
      );
  }
  if (headers.has("trailer"))
    throw invalid([
      { path: "Trailer", message: "cannot be used; send all fields in front of the body" },
    ]);
}

/**
 * Throws the reason where the client is gone when its request has come. Where more follows at once, Bun ends
 * the connection, and answers 400 where that is no request, as the fields behind a chunked body are none to it.
 * By the next round that is known, so that nothing is changed by a request that is said to have failed.
 */
export async function requireConnected(
  clock: Pick<Clock, "setImmediate">,
  { signal }: Request,
): Promise<void> {
  await nextRound(clock);
  signal.throwIfAborted();
}

/** The body is read; who asks for it again gets it from Hono's cache, which holds promises whatever its type says. */
function keepBytes(c: Context, bytes: Uint8Array): void {
  c.req.bodyCache.arrayBuffer = Promise.resolve(bytes.buffer) as unknown as ArrayBuffer;
}

function isJson(contentType: string | undefined): boolean {
  return /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType ?? "");
}

/** A client that hangs up in the middle is no fault of the server, and nothing for its log of errors. */
async function readWhole(request: Request, maxBytes: number): Promise<Uint8Array> {
  try {
    return await readAtMost(request, maxBytes);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw invalid([{ path: "", message: "the body broke off before its end" }]);
  }
}

async function readAtMost(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new AppError("PAYLOAD_TOO_LARGE", `The body is larger than ${maxBytes} bytes (MAX_BODY_BYTES)`);
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
  if (request.headers.has("content-length")) return new Uint8Array(await request.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function withinTime<T>(clock: Clock, reading: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimeout(() => {
      const seconds = timeoutMs / 1000;
      reject(new AppError("REQUEST_TIMEOUT", `The body took longer than ${seconds} s to arrive`));
    }, timeoutMs);
    reading.then(resolve, reject).finally(cancel);
  });
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid([{ path: "", message: "the body is not valid UTF-8" }]);
  }
}

function requireJson(text: string): Json {
  try {
    return parseExact(text, PASSED_ON);
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^JSON Parse error: /, "") : "";
    throw invalid([{ path: "", message: `the body is not valid JSON: ${why}` }]);
  }
}
