import type { Context } from "../context.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import { readOpenAiLine } from "../domain/openai-line.ts";
import { AppError } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { readLines } from "../lib/jsonl.ts";
import { type BatchInput, explained, type OpenedText } from "./input-text.ts";
import { type PreparedRow, prepareProviderLine, type RowContext } from "./prepare-row.ts";
import type { RowIssue } from "./row-issues.ts";

const COLUMNS = ["custom_id", "method", "url", "body"];

/** Opens a file whose lines are requests as OpenAI's Batch API takes them, all for one endpoint. */
export function openLines(
  ctx: Context,
  file: OpenedText,
  context: RowContext,
  { endpoint }: OpenAiTerms,
): BatchInput {
  let skipped = 0;
  async function* source(): AsyncGenerator<PreparedRow> {
    const most = ctx.config.openAiMaxLines;
    const pause = createPauses(ctx.clock);
    skipped = 0;
    let rows = 0;
    for await (const { number: row, text } of explained(file.name, readLines(ctx.files, file))) {
      if (text === "") {
        skipped++;
        await pause();
        continue;
      }
      if (++rows > most) throw tooMany(most);
      const { customId, body, issues } = readOpenAiLine(text, endpoint);
      const named = customId === undefined ? {} : { customId };
      if (body === null) yield { row, value: null, issues, ...named };
      else
        yield {
          ...prepareProviderLine(context, row, { kind: "provider", endpoint, body }, text),
          ...named,
        };
    }
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
