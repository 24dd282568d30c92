import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";

/** The contents of an error, wherever they are in the body. */
export type ErrorWords = {
  /** The provider's message; `null` if there is none. */
  message: string | null;
  /** Its codes, types and reasons, from all levels, in lower case. */
  codes: string[];
  /**
   * The HTTP status that the error names. The answer may have another one, or the error may come in the middle of a
   * stream.
   */
  status: number | null;
  /** The parameter that it is about. */
  param: string | null;
};

/** Reads a body that describes an error: JSON of any shape, a web page, or plain text. */
export function readErrorWords(body: string | Json | undefined): ErrorWords {
  const value = typeof body === "string" ? (parseJson(body) ?? body) : body;
  const codes: string[] = [];
  collectCodes(value, codes, 0);
  return {
    message: wordsOf(value, 0)?.slice(0, MOST_CHARACTERS) ?? null,
    codes,
    status: statusOf(value, codes),
    param: paramOf(value, 0),
  };
}

const DEEPEST = 6;
const MOST_ITEMS = 5;
/** A message may repeat the whole request, and is compared with many patterns. */
const MOST_CHARACTERS = 10_000;

/** The keys of messages, the more useful first. */
const WORD_KEYS = [
  "message",
  "Message",
  "msg",
  "detail",
  "details",
  "errors",
  "error_message",
  "errorMessage",
  "error_msg",
  "error_description",
  "status_msg",
  "fault",
  "faultstring",
  "title",
  "reason",
  "description",
];

function wordsOf(value: Json | undefined, depth: number): string | null {
  if (depth > DEEPEST) return null;
  if (typeof value === "string") return textWords(value, depth);
  if (Array.isArray(value)) {
    const all = value.map((item) => wordsOf(item, depth + 1)).filter((words) => words !== null);
    return [...new Set(all)].slice(0, MOST_ITEMS).join("; ") || null;
  }
  return isJsonObject(value) ? objectWords(value, depth) : null;
}

function objectWords(object: JsonObject, depth: number): string | null {
  const summary = wordsOf(object["error"], depth + 1);
  let reported: string | null = null;
  for (const key of WORD_KEYS) if ((reported ??= wordsOf(object[key], depth + 1)) !== null) break;
  const words = both(summary, reported);
  // FastAPI names the place in the request; OpenRouter passes on the error of the provider behind it.
  const place = Array.isArray(object["loc"]) ? object["loc"].join(".") : null;
  const metadata = object["metadata"];
  const raw = isJsonObject(metadata) ? wordsOf(metadata["raw"], depth + 1) : null;
  return both(words && place ? `${place}: ${words}` : words, raw);
}

function both(a: string | null, b: string | null): string | null {
  if (a === null || b === null || a === b) return a ?? b;
  return a.includes(b) ? a : b.includes(a) ? b : `${a}: ${b}`;
}

function textWords(text: string, depth: number): string | null {
  const bare = text.trim();
  if (/^[{[]/.test(bare)) {
    const inner = parseJson(bare);
    if (inner !== undefined) return wordsOf(inner, depth + 1) ?? bare;
  }
  if (!bare.startsWith("<")) return bare === "" ? null : bare;
  const [, reported] =
    /<title[^<>]*>([^<]+)/i.exec(bare) ??
    /<message[^<>]*>([^<]+)/i.exec(bare) ??
    /<h1[^<>]*>([^<]+)/i.exec(bare) ??
    [];
  return (reported ?? bare.replaceAll(/<[^<>]*>/g, " ")).replaceAll(/\s+/g, " ").trim() || null;
}

const CODE_KEYS = [
  "code",
  "type",
  "status",
  "reason",
  "error_code",
  "errorCode",
  "error_type",
  "status_code",
  "quotaId",
  "Code",
  "__type",
];

function collectCodes(value: Json | undefined, codes: string[], depth: number): void {
  if (depth > DEEPEST || typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value.slice(0, MOST_ITEMS)) collectCodes(item, codes, depth + 1);
    return;
  }
  for (const key of CODE_KEYS) {
    const code = value[key];
    if (typeof code === "string" || typeof code === "number")
      codes.push(String(code).toLowerCase());
  }
  for (const item of Object.values(value)) collectCodes(item, codes, depth + 1);
  const metadata = value["metadata"];
  if (isJsonObject(metadata) && typeof metadata["raw"] === "string")
    collectCodes(parseJson(metadata["raw"]), codes, depth + 1);
}

/** The status for error types of Anthropic, OpenAI and Google. */
const STATUS_OF_WORD: Record<string, number> = {
  invalid_request_error: 400,
  invalid_argument: 400,
  failed_precondition: 400,
  badrequesterror: 400,
  authentication_error: 401,
  unauthenticated: 401,
  billing_error: 402,
  insufficient_quota: 429,
  permission_error: 403,
  permission_denied: 403,
  not_found_error: 404,
  not_found: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  resource_exhausted: 429,
  api_error: 500,
  server_error: 500,
  internal: 500,
  internalservererror: 500,
  unavailable: 503,
  timeout_error: 504,
  deadline_exceeded: 504,
  overloaded_error: 529,
};

function statusOf(value: Json | undefined, codes: string[]): number | null {
  const named = [...codes, ...numbersAt(value)].map(Number);
  const status = named.find((code) => Number.isInteger(code) && code >= 400 && code <= 599);
  return (
    status ?? codes.map((code) => STATUS_OF_WORD[code]).find((code) => code !== undefined) ?? null
  );
}

function numbersAt(value: Json | undefined): string[] {
  return isJsonObject(value) && typeof value["statusCode"] === "number"
    ? [String(value["statusCode"])]
    : [];
}

function paramOf(value: Json | undefined, depth: number): string | null {
  if (depth > DEEPEST || typeof value !== "object" || value === null) return null;
  if (!Array.isArray(value)) {
    if (typeof value["param"] === "string" && value["param"] !== "") return value["param"];
    const place = value["loc"];
    if (Array.isArray(place))
      return String(place.findLast((step) => step !== "body") ?? "") || null;
  }
  for (const item of Object.values(value)) {
    const found = paramOf(item, depth + 1);
    if (found !== null) return found;
  }
  return null;
}
