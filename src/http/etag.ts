import type { Context } from "hono";

import { sha256Hex } from "../lib/hash.ts";
import { type HeaderName, headerRefs } from "./answer-headers.ts";
import { type AppEnv, json, success } from "./router.ts";

/** The documented answers of a route for one resource: the resource, or that it has not changed. */
export const resource = <S extends Parameters<typeof json>[0]>(
  data: S,
  description: string,
  ...headers: HeaderName[]
) => ({
  200: json(data, description, "ETag", ...headers),
  304: UNCHANGED,
});

export const UNCHANGED = {
  description: "It has not changed since the version in `If-None-Match`",
  headers: headerRefs(["ETag"]),
};

/** Answers with a resource, or with 304 if the client has the current version. */
export function answerResource<D>(c: Context<AppEnv>, data: D) {
  // A weak tag, because the envelope contains the time of the answer.
  const tag = `W/"${sha256Hex(JSON.stringify(data)).slice(0, 32)}"`;
  c.header("ETag", tag);
  return isKnown(c, tag) ? c.body(null, 304) : c.json(success(c, data), 200);
}

/** Whether the client has the version with this tag (RFC 9110, 13.1.2: a weak comparison). */
export function isKnown(c: Context<AppEnv>, tag: string): boolean {
  const given = c.req.header("if-none-match");
  if (given === undefined) return false;
  const bare = (one: string) => one.trim().replace(/^W\//, "");
  return given.trim() === "*" || given.split(",").some((one) => bare(one) === bare(tag));
}
