import type { Context } from "../context.ts";
import { readJsonlLine } from "../domain/jsonl-line.ts";
import { invalid } from "../errors.ts";
import { readJsonArray } from "../lib/json-array.ts";
import type { Checked } from "../lib/json-limits.ts";
import { type Line, readLines } from "../lib/jsonl.ts";
import { type BatchInput, explained, type OpenedText } from "./input-text.ts";
import { type SomeLines, withLongLines } from "./long-lines.ts";
import { createOmittedMembers } from "./omitted-members.ts";
import {
  prepareFields,
  type PreparedRow,
  prepareProviderLine,
  type RowContext,
  type RowPortion,
} from "./prepare-row.ts";

/** The most different names in the lines of a file. */
const MOST_NAMES = 1000;

type Texts = Pick<Context, "clock"> & {
  name: string;
  format: "json" | "jsonl";
  lines: AsyncIterable<Line[]>;
};
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
      readRows(
        { clock: ctx.clock, name: file.name, format, lines: read(ctx.files, file) },
        context,
        seen,
      ),
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
  { clock, name, format, lines }: Texts,
  context: RowContext,
  seen: Seen,
): AsyncGenerator<RowPortion> {
  let skipped = 0;
  const omitted = createOmittedMembers(context.config);
  function prepare({ number: row, text }: Line, checked: Checked | undefined): PreparedRow {
    const { names, line, issues } = readJsonlLine(text, checked);
    for (const one of names) seen.names.add(one);
    if (seen.names.size > MOST_NAMES)
      throw invalid([
        { path: "inputFile", message: `${name} has more than ${MOST_NAMES} different names` },
      ]);
    if (!line) return { row, value: null, issues };
    if (line.kind === "provider") return prepareProviderLine(context, row, line, text);
    const { fields } = line;
    const hasMessages = fields["messages"] !== undefined;
    const variables = omitted.fill(line.variables, { hasMessages });
    return prepareFields(context, row, fields, variables, text);
  }
  function* prepareAll({ lines: some, checked }: SomeLines): Generator<PreparedRow> {
    for (const line of some)
      if (line.text === "" && format === "jsonl") skipped++;
      else yield prepare(line, checked);
  }
  for await (const some of withLongLines(clock, explained(name, lines))) yield prepareAll(some);
  omitted.requireSomewhere([...seen.names]);
  seen.skipped = skipped;
}
