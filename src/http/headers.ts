import type { Context } from "hono";

import { invalid } from "../errors.ts";

export const LONGEST_WAIT_SECONDS = 60;

/**
 * How long to hold the answer by `Prefer: wait=N`, in ms; 0 without it. A value that is no number is ignored, as RFC 7240
 * has it for preferences that a server does not understand.
 */
export function readWait(c: Context): number {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d+)(?![\w.])/i.exec(
    c.req.header("prefer") ?? "",
  )?.[1];
  return Math.min(Number(seconds ?? 0), LONGEST_WAIT_SECONDS) * 1000;
}

/** Shows the client that its preference was honoured. */
export function waitApplied(c: Context): void {
  c.header("Preference-Applied", `wait=${readWait(c) / 1000}`);
}

/**
 * The idempotency key of a request, from its body or its header, quoted (as in the IETF draft) or bare. Throws
 * `VALIDATION_ERROR` if both are given and differ.
 */
export function idempotencyKeyOf(c: Context, inBody: string | undefined): string | undefined {
  const header = c.req.header("idempotency-key")?.trim();
  if (header === undefined) return inBody;
  const inHeader = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (inHeader.length < 1 || inHeader.length > 255)
    throw invalid([{ path: "Idempotency-Key", message: "must have 1 to 255 characters" }]);
  if (inBody !== undefined && inBody !== inHeader)
    throw invalid([{ path: "idempotencyKey", message: "differs from the Idempotency-Key header" }]);
  return inHeader;
}
