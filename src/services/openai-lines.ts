import type { Context } from "../context.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import { readOpenAiLine } from "../domain/openai-line.ts";
import { AppError } from "../errors.ts";
import type { Checked } from "../lib/json-limits.ts";
import { type Line, readLines } from "../lib/jsonl.ts";
import { TextFileError } from "../lib/text-file.ts";
import {
  type BatchInput,
  explained,
  explainReading,
  type NamedFile,
  type OpenedText,
  openText,
} from "./input-text.ts";
import { type SomeLines, withLongLines } from "./long-lines.ts";
import {
  type PreparedRow,
  prepareProviderLine,
  type RowContext,
  type RowPortion,
} from "./prepare-row.ts";
import type { RowIssue } from "./row-issues.ts";

const COLUMNS = ["custom_id", "method", "url", "body"];

/** Opens the input of such a batch. */
export function openLineFile(ctx: Context, file: NamedFile): Promise<OpenedText> {
  return openText(ctx, file, undefined, explainLines);
}

/** Its `hint` would name a setting of the other API. */
function explainLines(name: string, error: unknown): unknown {
  return error instanceof TextFileError
    ? ofWholeFile("invalid_file_format", `The batch input file ${error.message}.`)
    : explainReading(name, error);
}

/** Opens a file whose lines are requests as OpenAI's Batch API takes them, all for one endpoint. */
export function openLines(
  ctx: Context,
  file: OpenedText,
  context: RowContext,
  { endpoint }: OpenAiTerms,
): BatchInput {
  let skipped = 0;
  function prepare({ number: row, text }: Line, checked: Checked | undefined): PreparedRow {
    const { customId, body, issues } = readOpenAiLine(text, endpoint, checked);
    const named = customId === undefined ? {} : { customId };
    if (body === null) return { row, value: null, issues, ...named };
    const line = { kind: "provider", endpoint, body } as const;
    return { ...prepareProviderLine(context, row, line, text), ...named };
  }
  async function* source(): AsyncGenerator<RowPortion> {
    const most = ctx.config.openAiMaxLines;
    skipped = 0;
    let rows = 0;
    function* prepareAll({ lines, checked }: SomeLines): Generator<PreparedRow> {
      for (const line of lines) {
        if (line.text === "") {
          skipped++;
          continue;
        }
        if (++rows > most) throw tooMany(most);
        yield prepare(line, checked);
      }
    }
    const portions = explained(file.name, readLines(ctx.files, file), explainLines);
    for await (const some of withLongLines(ctx.clock, portions)) yield prepareAll(some);
    if (rows === 0) throw empty();
  }
  return {
    source,
    columns: () => COLUMNS,
    found: () => ({
      format: "jsonl",
      delimiter: null,
      encoding: file.encoding,
      columns: COLUMNS,
      skipped,
    }),
  };
}

function tooMany(most: number): AppError {
  return ofWholeFile(
    "too_many_tasks",
    `The batch input file contains too many requests. The maximum is ${most}.`,
  );
}

function empty(): AppError {
  return ofWholeFile(
    "empty_file",
    "The batch input file is empty. Please ensure that the batch contains at least one request.",
  );
}

/** Row 0 stands for the whole file. */
function ofWholeFile(code: string, message: string): AppError {
  const issue: RowIssue = { row: 0, field: "", message, code };
  return new AppError("VALIDATION_ERROR", message, { rows: [issue], total: 1 });
}
