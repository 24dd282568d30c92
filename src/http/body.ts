import type { MiddlewareHandler } from "hono";

import type { Context as AppContext } from "../context.ts";
import { PASSED_ON } from "../domain/request.ts";
import { AppError, invalid } from "../errors.ts";
import { type Clock, nextRound } from "../lib/clock.ts";
import { checkAnyJson } from "../lib/json-in-turns.ts";
import type { Json } from "../lib/json.ts";
import type { AppEnv } from "./router.ts";

/**
 * Reads the body of a request once and checks it: at most MAX_BODY_BYTES, valid UTF-8, JSON if its type says so,
 * within the limits of JSON and without duplicate names, and complete within BODY_TIMEOUT_SECONDS, so that slow
 * senders do not hold memory. With `changesNothing` the client need not still be connected. An absent body counts as
 * an empty object. Routes find it as `c.get("body")`.
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
      whole = decodeUtf8(bytes);
    }
    const text = whole.trim();
    if (c.req.method !== "GET" && !changesNothing) await requireConnected(clock, c.req.raw);
    if (!isJsonBody && text !== "")
      throw new AppError(
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as `Content-Type: application/json`",
      );
    const value = text === "" ? {} : await requireJson(clock, text);
    c.set("body", { value, text: whole });
    await next();
  };
}

/**
 * Refuses compressed bodies, because a small one can unpack to a very large one, and trailer fields, which are not
 * read.
 */
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
 * Throws if the client has disconnected by the time that its request is complete. If more data follows, such as
 * trailer fields, Bun ends the connection, and answers 400 if it is not a request. That is known by the next round of
 * the event loop, so a request that was answered as failed changes nothing.
 */
export async function requireConnected(
  clock: Pick<Clock, "setImmediate">,
  { signal }: Request,
): Promise<void> {
  await nextRound(clock);
  signal.throwIfAborted();
}

function isJson(contentType: string | undefined): boolean {
  return /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType ?? "");
}

/** A client that disconnects in the middle is not a fault of the server, and not logged as an error. */
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

/** The start of the message for a body that is not JSON; the reason follows it. */
export const NOT_JSON = "the body is not valid JSON: ";

async function requireJson(clock: Clock, text: string): Promise<Json> {
  const checked = await checkAnyJson(clock, text, PASSED_ON);
  if ("value" in checked) return checked.value;
  throw invalid([
    "fault" in checked ? checked.fault : { path: "", message: `${NOT_JSON}${checked.notJson}` },
  ]);
}
