import type { MiddlewareHandler } from "hono";

import { nearestName } from "../../lib/near-names.ts";
import { badParam } from "../../services/openai-refusal.ts";
import type { AppEnv } from "../router.ts";

type Query = Record<string, string>;

/** Azure's clients send it with every request. */
const OF_AZURE = "api-version";

/**
 * Throws if a request that changes something has query parameters. None has a meaning here, and a client must learn that
 * one such as `isDryRun` has no effect. Lists ignore unknown parameters, as OpenAI's do.
 */
export const requireKnownQuery: MiddlewareHandler<AppEnv> = async (c, next) => {
  if (c.req.method !== "GET") requireKnown(Object.keys(c.req.query()), [OF_AZURE]);
  await next();
};

/** Throws an error that names the first of `names` that is not `known`. */
export function requireKnown(names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownParam(unknown, known);
}

export function unknownParam(name: string, known: readonly string[]) {
  const shown = name.slice(0, LONGEST_SHOWN);
  const message = `Unknown parameter: '${shown}'.${suggest(shown, known)}`;
  return badParam(shown, message, "unknown_parameter");
}

function suggest(given: string, known: readonly string[]): string {
  const near = nearestName(given, known);
  return near === undefined ? "" : ` Did you mean '${near}'?`;
}

/** An error for a value of another type; `expected` is in words such as `a string`. */
export function wrongType(param: string, expected: string, value: unknown) {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${typeOf(value)} instead.`;
  return badParam(param, message, "invalid_type");
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "an array";
  return (
    { string: "a string", number: "a number", boolean: "a boolean" }[String(typeof value)] ??
    "an object"
  );
}

/** An error for a body that is not an object. */
export function badBody(body: unknown) {
  const message = `Invalid type for the request body: expected an object, but got ${typeOf(body)} instead.`;
  return badParam(null, message, "invalid_type");
}

/** Returns the body if it is an object without other fields than these, and throws if not. */
export function fieldsOf(body: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw badBody(body);
  requireKnown(Object.keys(body), known);
  return { ...body };
}

const LONGEST_SHOWN = 200;

/** `limit` of a list, checked as OpenAI does. Unknown query parameters are ignored. */
export function limitOf(
  { limit }: Query,
  { most, usual }: { most: number; usual: number },
): number {
  if (limit === undefined) return usual;
  if (!/^-?\d{1,15}$/.test(limit)) throw wrongType("limit", "an integer", limit);
  const value = Number(limit);
  if (value > most)
    throw badParam(
      "limit",
      `Invalid 'limit': integer above maximum value. Expected a value <= ${most}, but got ${value} instead.`,
      "integer_above_max_value",
    );
  if (value < 0)
    throw badParam(
      "limit",
      `Invalid 'limit': integer below minimum value. Expected a value >= 0, but got ${value} instead.`,
      "integer_below_min_value",
    );
  return value;
}

/** `after` of a list. The SDK sends `null`, which it documents as the start, as an empty text. */
export function afterOf({ after }: Query): string | undefined {
  return after === "" ? undefined : after;
}

export function orderOf({ order = "desc" }: Query): "asc" | "desc" {
  if (order === "asc" || order === "desc") return order;
  throw unknownValue("order", order, ["asc", "desc"]);
}

export function unknownValue(param: string, value: unknown, known: readonly string[]) {
  const names = known.map((one) => `'${one}'`);
  const list = `${names.slice(0, -1).join(", ")}${names.length > 2 ? "," : ""} and ${names.at(-1)}`;
  const hint = typeof value === "string" ? suggest(value, known) : "";
  return badParam(param, `Invalid value: ${quote(value)}. Supported values are: ${list}.${hint}`);
}

function quote(value: unknown): string {
  return `'${String(typeof value === "string" ? value : JSON.stringify(value)).slice(0, LONGEST_SHOWN)}'`;
}

export function missing(param: string) {
  return badParam(param, `Missing required parameter: '${param}'.`, "missing_required_parameter");
}

/** A list in the form of OpenAI's API. */
export function listOf<Item extends { id: string }>(data: Item[], hasMore: boolean) {
  return {
    object: "list" as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** A time in the form of OpenAI's API: whole seconds. */
export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

export function secondsOrNull(ms: number | null): number | null {
  return ms === null ? null : seconds(ms);
}
