import { parseExactOrNone } from "../lib/exact-json.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson, isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Endpoint } from "./request.ts";
import { mapUploads, readUploadRef, UPLOAD_SCHEME } from "./upload-refs.ts";

/**
 * What requests that may share an answer have in common: SHA-256 of the endpoint and the provider's
 * body, the keys of its objects in one order. How the answer travels and where a
 * provider may have cached the prompt are left out, because it says the same. An answer that is checked by the
 * schema in the body (`isChecked`) is not that of a request where nobody looks. An upload counts by what is in it,
 * whatever its id. 64 lower-case hexadecimal characters; five microseconds for 2 kB.
 */
export function cacheKeyOf(endpoint: Endpoint, body: JsonObject, isChecked: boolean): string {
  const { stream: _stream, stream_options: _options, prompt_cache_key: _prefix, ...asked } = body;
  const meant = mapUploads(asked, (one) => ({ ...one, url: contentOf(one.url) }));
  return sha256Hex(canonicalJson([endpoint, meant, ...(isChecked ? ["checked"] : [])]));
}

/** The key of a request as it is stored: with its key, or else with its body. `null` where that is no request. */
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
 * Under which key an answer is found that a later batch takes over: that of its request or, where the model of
 * `escalateTo` gave it, one that only requests with the same `escalateTo` have.
 */
export function baseKeyOf(key: string, escalatedTo: string | null): string {
  return escalatedTo === null ? key : sha256Hex(`${key} ${escalatedTo}`);
}
