import { createHash } from "node:crypto";

import { type Clock, createPauses } from "./clock.ts";
import { canonicalJson, isJsonObject, sortMembers } from "./json.ts";

/** Deeper values are hashed at once, such as a row of a batch: ["batch", { tasks: [row] }]. */
const DEEPEST = 3;

/**
 * SHA-256 of `canonicalJson(value)`, 64 lower-case hexadecimal characters. It lets other work have its turn every few
 * milliseconds, because a batch may have 50,000 rows.
 */
export async function canonicalHash(
  clock: Pick<Clock, "monotonic" | "setImmediate">,
  value: unknown,
): Promise<string> {
  const hash = createHash("sha256");
  const pauses = createPauses(clock);
  for (const piece of piecesOf(value, 0)) {
    hash.update(piece);
    if (pauses.isDue()) await pauses.take();
  }
  return hash.digest("hex");
}

function* piecesOf(value: unknown, depth: number): Generator<string> {
  if (depth < DEEPEST && Array.isArray(value)) {
    yield "[";
    for (const [i, item] of value.entries()) {
      if (i > 0) yield ",";
      yield* piecesOf(item ?? null, depth + 1);
    }
    yield "]";
  } else if (depth < DEEPEST && isJsonObject(value)) {
    let separator = "{";
    for (const [name, member] of Object.entries(sortMembers(value))) {
      if (member === undefined) continue;
      yield `${separator}${JSON.stringify(name)}:`;
      separator = ",";
      yield* piecesOf(member, depth + 1);
    }
    yield separator === "{" ? "{}" : "}";
  } else yield canonicalJson(value);
}
