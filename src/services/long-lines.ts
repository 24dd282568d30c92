import type { Clock } from "../lib/clock.ts";
import { checkInTurns, LONG } from "../lib/json-in-turns.ts";
import type { Checked } from "../lib/json-limits.ts";
import type { Line } from "../lib/jsonl.ts";

export type LongLines = ReadonlyMap<Line, Checked>;

/** Parses those lines that take so long that other work must have its turn meanwhile. */
export async function checkLongLines(
  clock: Pick<Clock, "monotonic" | "setImmediate">,
  lines: Line[],
): Promise<LongLines> {
  const long = new Map<Line, Checked>();
  for (const line of lines)
    if (line.text.length >= LONG) long.set(line, await checkInTurns(clock, line.text));
  return long;
}
