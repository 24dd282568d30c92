import { parseExactOrNone } from "../lib/exact-json.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson, isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Endpoint } from "./request.ts";
import { mapUploads, readUploadRef, UPLOAD_SCHEME } from "./upload-refs.ts";

/**
 * The key of requests that may share an answer: SHA-256 of the endpoint and the provider's body with sorted keys.
 * Streaming and prompt caching are left out, because they do not change the answer. A request whose answer is checked
 * against the schema in its body (`isChecked`) has another key than one whose answer is not. An upload counts by its
 * content, not by its id. 64 lower-case hexadecimal characters; takes five microseconds for 2 kB.
 */
export function cacheKeyOf(endpoint: Endpoint, body: JsonObject, isChecked: boolean): string {
  const { stream: _stream, stream_options: _options, prompt_cache_key: _prefix, ...asked } = body;
  const meant = mapUploads(asked, (one) => ({ ...one, url: contentOf(one.url) }));
  return sha256Hex(canonicalJson([endpoint, meant, ...(isChecked ? ["checked"] : [])]));
}

/**
 * The key of a stored request: its stored key, or one computed from its body. `null` if the body is not a request.
 */
export function keyOfStored({
  key,
  endpoint,
  body,
  isChecked,
}: {
  key: string | null;
  endpoint: Endpoint;
  body: string | null;
  isChecked: number;
}): string | null {
  if (key !== null) return key;
  const request = parseExactOrNone(body ?? "");
  return isJsonObject(request) ? cacheKeyOf(endpoint, request, isChecked === 1) : null;
}

function contentOf(url: string): string {
  const { facts } = readUploadRef(url) ?? {};
  return facts ? `${UPLOAD_SCHEME}${facts.type} ${facts.sha256}` : url;
}

/**
 * The key under which a later batch finds an answer to reuse: that of its request or, if the model of `escalateTo`
 * gave the answer, one that only requests with the same `escalateTo` have.
 */
export function baseKeyOf(key: string, escalatedTo: string | null): string {
  return escalatedTo === null ? key : sha256Hex(`${key} ${escalatedTo}`);
}
