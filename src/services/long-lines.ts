import type { Clock } from "../lib/clock.ts";
import { checkInTurns, takesLong } from "../lib/json-in-turns.ts";
import type { Checked } from "../lib/json-limits.ts";
import type { Line } from "../lib/jsonl.ts";

/** Some lines of a file, or a single one that was parsed already. */
export type SomeLines = { lines: Line[]; checked?: Checked };

/**
 * Divides lines at those that take so long to parse that other work must have its turn meanwhile. They are parsed one by
 * one, so that there is only one at a time in memory.
 */
export async function* withLongLines(
  clock: Pick<Clock, "monotonic" | "setImmediate">,
  portions: AsyncIterable<Line[]>,
): AsyncGenerator<SomeLines> {
  for await (const portion of portions) {
    let begun = 0;
    for (const [i, line] of portion.entries()) {
      if (!takesLong(line.text)) continue;
      if (i > begun) yield { lines: portion.slice(begun, i) };
      yield { lines: [line], checked: await checkInTurns(clock, line.text) };
      begun = i + 1;
    }
    if (begun < portion.length) yield { lines: portion.slice(begun) };
  }
}
