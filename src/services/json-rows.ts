import type { Context } from "../context.ts";
import { readJsonlLine } from "../domain/jsonl-line.ts";
import { invalid } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { readJsonArray } from "../lib/json-array.ts";
import { type Line, readLines } from "../lib/jsonl.ts";
import { type BatchInput, explained, type OpenedText } from "./input-text.ts";
import {
  prepareFields,
  type PreparedRow,
  prepareProviderLine,
  type RowContext,
} from "./prepare-row.ts";

/** The most different names in the lines of a file. */
const MOST_NAMES = 1000;

type Texts = { name: string; format: "json" | "jsonl"; lines: AsyncIterable<Line> };
type Seen = { names: Set<string>; skipped: number };

/** Opens a JSONL file, or a JSON array of the same objects. */
export function openJson(
  ctx: Context,
  file: OpenedText,
  format: "json" | "jsonl",
  context: RowContext,
): BatchInput {
  const seen: Seen = { names: new Set(), skipped: 0 };
  const columns = () => [...seen.names];
  const read = format === "json" ? readJsonArray : readLines;
  return {
    columns,
    source: () =>
      readRows(ctx, { name: file.name, format, lines: read(ctx.files, file) }, context, seen),
    found: () => ({
      format,
      delimiter: null,
      encoding: file.encoding,
      columns: columns(),
      skipped: seen.skipped,
    }),
  };
}

async function* readRows(
  { clock }: Context,
  { name, format, lines }: Texts,
  context: RowContext,
  seen: Seen,
): AsyncGenerator<PreparedRow> {
  const pause = createPauses(clock);
  let skipped = 0;
  for await (const { number: row, text } of explained(name, lines)) {
    if (text === "" && format === "jsonl") {
      skipped++;
      await pause();
      continue;
    }
    const { names, line, issues } = readJsonlLine(text);
    for (const one of names) seen.names.add(one);
    if (seen.names.size > MOST_NAMES)
      throw invalid([
        { path: "inputFile", message: `${name} has more than ${MOST_NAMES} different names` },
      ]);
    if (!line) yield { row, value: null, issues };
    else if (line.kind === "provider") yield prepareProviderLine(context, row, line, text);
    else yield prepareFields(context, row, line.fields, line.variables, text);
  }
  seen.skipped = skipped;
}
