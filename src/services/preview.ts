import type { Context } from "../context.ts";
import { type Estimate, estimate } from "../domain/estimate.ts";
import type { InputFound } from "../domain/input-found.ts";
import { isCounted } from "../domain/request.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { AppError } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { type JsonObject, parseJson } from "../lib/json.ts";
import { openInput } from "./batch-input.ts";
import type { Caller } from "./caller.ts";
import { rowContext } from "./create-batch.ts";
import { paceOf, priceAt } from "./estimate.ts";
import type { PreparedRow } from "./prepare-row.ts";
import { requireKnownVariables } from "./table-rows.ts";

type PreviewedRow = {
  row: number;
  /** The cells of the row by the file's columns, or the line of a JSON file. */
  cells: unknown;
  /** The request that would be sent; `null` if it cannot be made, see `issues`. */
  request: JsonObject | null;
  promptTokens: number | null;
  issues: { field: string; message: string }[];
};

export type Preview = {
  found: Omit<InputFound, "rows"> | null;
  columns: string[] | null;
  /** How many rows were read: all of them, unless that would have taken too long. */
  rowCount: number;
  isWhole: boolean;
  rows: PreviewedRow[];
  /** An estimate from the first rows; `null` if none of them can be sent. */
  estimate: Estimate | null;
};

/** How many rows are sampled for the tokens. */
const SAMPLE = 100;
const MOST_COUNT_MS = 1500;
const MOST_TOKEN_MS = 1000;
/** The most characters of the requests that are shown, and of the sampled ones: a template may make millions of each row. */
const MOST_CHARACTERS = 4_000_000;
const NOT_REACHED = {
  field: "config",
  message:
    "its request is not shown, because the rows before it are too many or too long for a preview; ask for fewer rows, or earlier ones",
};
/** A placeholder that makes a request of any row, so that cells can be shown before there is a prompt. */
const ANY_PROMPT = "-";

type Asked = { inputFile: string; config: BatchConfig; from: number; limit: number };

/** Reads a table as a batch would, and composes the requests of some rows, without creating anything. */
export async function previewInput(
  ctx: Context,
  caller: Pick<Caller, "key">,
  { inputFile, config, from, limit }: Asked,
): Promise<Preview> {
  const upTo = from + limit - 1;
  const { csv, xlsx, model } = config;
  const plain = { promptTemplate: ANY_PROMPT, ...keep({ csv, xlsx, model }) };
  const shown: PreparedRow[] = [];
  const table = await read(ctx, caller, inputFile, plain, {
    untilMs: MOST_COUNT_MS,
    take: (prepared) => {
      if (prepared.row >= from && prepared.row <= upTo) shown.push(prepared);
      return true;
    },
  });
  const composed = new Map<number, PreparedRow>();
  const refusal = await Promise.resolve()
    .then(() => requireNamed(config, table))
    .then(() =>
      read(ctx, caller, inputFile, config, {
        untilMs: MOST_COUNT_MS,
        take: takeSome(composed, from, upTo),
      }),
    )
    .then(() => [NOT_REACHED], refusalOf);
  const sendable = [...composed.values()].flatMap(({ row, value }) =>
    value && !value.isSkipped
      ? [{ row, model: value.model, endpoint: value.endpoint, body: value.body }]
      : [],
  );
  const sizes = await ctx.tokens.measure(sendable, MOST_TOKEN_MS);
  const tokensOf = new Map(sendable.map(({ row }, i) => [row, sizes[i]?.promptTokens ?? null]));
  const sample = sendable.flatMap(({ row, model, endpoint }, i) => {
    const size = sizes[i];
    return size && row <= SAMPLE ? [{ ...size, model, isPriced: isCounted(endpoint) }] : [];
  });
  const pace = await paceOf(ctx, config.maxConcurrency);
  return {
    ...table,
    rows: shown.map(({ row, value }) => {
      const made = composed.get(row);
      return {
        row,
        cells: value?.cells ? (parseJson(value.cells) ?? value.cells) : null,
        request: made?.value
          ? ((parseJson(made.value.body) as JsonObject | undefined) ?? null)
          : null,
        promptTokens: tokensOf.get(row) ?? null,
        issues: made?.issues ?? refusal,
      };
    }),
    estimate:
      sample.length === 0
        ? null
        : estimate(table.rowCount, sample, pace, (model) => priceAt(ctx, model)),
  };
}

/** A name that no row of JSON has is known only when all rows have been read. */
function requireNamed(
  config: BatchConfig,
  { found, columns, isWhole }: Pick<Preview, "found" | "columns" | "isWhole">,
): void {
  const isJson = found?.format === "json" || found?.format === "jsonl";
  if (isJson && isWhole) requireKnownVariables(config, columns ?? []);
}

/** Keeps the rows that are shown and those that are sampled, as long as their requests are not too long. */
function takeSome(composed: Map<number, PreparedRow>, from: number, upTo: number) {
  const left = { shown: MOST_CHARACTERS, sampled: MOST_CHARACTERS };
  const last = Math.max(upTo, SAMPLE);
  return (prepared: PreparedRow): boolean => {
    const { row, value } = prepared;
    const kind = row >= from && row <= upTo ? "shown" : "sampled";
    const isKept = left[kind] > 0 && (kind === "shown" || row <= SAMPLE);
    if (isKept) {
      composed.set(row, prepared);
      left[kind] -= value?.body.length ?? 0;
    }
    return row < last && (isKept || row < from);
  };
}

/** An issue of the whole input, such as an unknown column in a template, which is shown for each row. */
function refusalOf(error: unknown): { field: string; message: string }[] {
  if (error instanceof AppError && error.code === "VALIDATION_ERROR")
    return [{ field: "config", message: error.message }];
  throw error;
}

/** Reads rows until `take` has enough or the time is up. */
async function read(
  ctx: Context,
  caller: Pick<Caller, "key">,
  inputFile: string,
  config: BatchConfig,
  { untilMs, take }: { untilMs: number; take: (row: PreparedRow) => boolean },
): Promise<Pick<Preview, "found" | "columns" | "rowCount" | "isWhole">> {
  if (/^https?:/.test(inputFile))
    throw new AppError("VALIDATION_ERROR", "inputFile: an address cannot be previewed; upload it");
  const scope = { ids: true, keys: true };
  const rows = rowContext(ctx, { batchId: "preview", config, scope, base: null, openAi: null });
  const opened = await openInput(ctx, caller, { inputFile }, null, rows);
  const since = ctx.clock.monotonic();
  const pauses = createPauses(ctx.clock);
  let rowCount = 0;
  let isWhole = true;
  try {
    reading: for await (const portion of opened.source())
      for (const prepared of portion) {
        rowCount++;
        isWhole = take(prepared) && ctx.clock.monotonic() - since <= untilMs;
        if (!isWhole) break reading;
        if (pauses.isDue()) await pauses.take();
      }
    return { found: opened.found(), columns: opened.columns(), rowCount, isWhole };
  } finally {
    await opened.close?.();
  }
}

function keep<T extends object>(given: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const there = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(there) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
