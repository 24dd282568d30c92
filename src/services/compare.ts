import type { Context } from "../context.ts";
import { meaningOf, variableNames } from "../domain/columns.ts";
import {
  type ComparisonFormat,
  createComparisonWriter,
  isEqual,
  type Pair,
} from "../domain/compare-format.ts";
import { type AppError, invalid } from "../errors.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { Batch } from "../store/batches.ts";
import { type Difference, firstDifference, lastPosition, rowIds } from "../store/compare.ts";
import { type ResultRow, resultsAt } from "../store/results.ts";
import { readInHalves, readRows } from "../store/rows.ts";
import { PAGE_ROWS, readPage } from "./results.ts";

export type Comparison = {
  left: Batch;
  right: Batch;
  /** How rows are paired: by position if the inputs are the same, or by the ids in the input. */
  by: "position" | "id";
  /** Leave out pairs with equal answers. */
  differing: boolean;
  format: ComparisonFormat;
  safe: boolean;
  bom: boolean;
};

/** How many rows are compared in one statement, which takes some milliseconds. */
const ROWS_A_LOOK = 5000;
/** The most ids, which are held in memory while rows are paired. */
const MOST_IDS = 200_000;

type Ids = Map<string, number>;

/**
 * Determines how the rows of two batches are paired, and returns a generator that writes them side by side, in pieces
 * of text. Throws `VALIDATION_ERROR` if they cannot be paired: different input, or rows without an id.
 */
export async function prepareComparison(
  ctx: Context,
  comparison: Comparison,
): Promise<() => AsyncGenerator<string>> {
  const { left, right, by, format, safe, bom, differing } = comparison;
  let pairs: () => AsyncIterable<Pair[]>;
  if (by === "position") {
    await requireSameInput(ctx, left, right);
    pairs = () => pairsByPosition(ctx, left, right);
  } else {
    const ids = {
      left: await readIds(ctx, left, "left"),
      right: await readIds(ctx, right, "right"),
    };
    pairs = () => pairsById(ctx, comparison, ids);
  }
  const write = createComparisonWriter({ format, columns: left.columns, safe, bom });
  return async function* () {
    yield write.head;
    let isFirst = true;
    for await (const page of pairs()) {
      const shown = differing ? page.filter((pair) => isEqual(pair) !== true) : page;
      if (shown.length === 0) continue;
      yield write.rows(shown, isFirst);
      isFirst = false;
    }
    yield write.foot;
  };
}

/**
 * Rows that only one of the batches has (a task was deleted, or the input is longer) are unpaired. The pages of both
 * batches are limited in bytes; both are used up to the end of the shorter one.
 */
async function* pairsByPosition(ctx: Context, left: Batch, right: Batch): AsyncGenerator<Pair[]> {
  for (let after = -1; ;) {
    const page = { after, limit: PAGE_ROWS, status: undefined };
    const [ones, others] = [await readPage(ctx, left, page), await readPage(ctx, right, page)];
    const ends = [ones, others].flatMap((rows) => rows.at(-1)?.position ?? []);
    if (ends.length === 0) return;
    after = Math.min(...ends);
    yield paired(upTo(after, ones), upTo(after, others));
  }
}

function upTo(position: number, rows: ResultRow[]): ResultRow[] {
  return rows.filter((row) => row.position <= position);
}

function paired(ones: ResultRow[], others: ResultRow[]): Pair[] {
  const rest = new Map(others.map((row) => [row.position, row]));
  const pairs: (Pair & { position: number })[] = ones.map((left) => {
    const right = rest.get(left.position) ?? null;
    rest.delete(left.position);
    return { position: left.position, left, right };
  });
  for (const right of rest.values()) pairs.push({ position: right.position, left: null, right });
  return pairs.toSorted((a, b) => a.position - b.position);
}

/** The rows of the left batch in its order, then those that only the right one has. */
async function* pairsById(
  ctx: Context,
  { left, right }: Comparison,
  ids: { left: Ids; right: Ids },
): AsyncGenerator<Pair[]> {
  const idAt = new Map([...ids.left].map(([id, position]) => [position, id]));
  const onlyRight = new Map(ids.right);
  for (let after = -1; ;) {
    const rows = await readPage(ctx, left, { after, limit: PAGE_ROWS, status: undefined });
    const last = rows.at(-1);
    if (!last) break;
    after = last.position;
    const places = rows.map(({ position }) => ids.right.get(idAt.get(position) ?? ""));
    const others = await readAt(ctx, right, places);
    yield rows.map((row, i) => ({ left: row, right: others.get(places[i] ?? -1) ?? null }));
    for (const { position } of rows) onlyRight.delete(idAt.get(position) ?? "");
  }
  const rest = [...onlyRight.values()];
  for (let i = 0; i < rest.length; i += PAGE_ROWS) {
    const rows = await readAt(ctx, right, rest.slice(i, i + PAGE_ROWS));
    yield [...rows.values()].map((row) => ({ left: null, right: row }));
  }
}

/** The rows at given positions, by position. */
async function readAt(
  ctx: Context,
  batch: Batch,
  places: readonly (number | undefined)[],
): Promise<Map<number, ResultRow>> {
  const positions = places.filter((place) => place !== undefined);
  const rows = await readInHalves(positions.length, (limit, skip) =>
    readRows(ctx.longReads.client, resultsAt(batch.seq, positions.slice(skip, skip + limit))),
  );
  return new Map(rows.map((row) => [row.position, row]));
}

async function requireSameInput(ctx: Context, left: Batch, right: Batch): Promise<void> {
  const { client } = ctx.longReads;
  const names = variableNames(left.columns ?? []);
  const others = variableNames(right.columns ?? []);
  const odd = names.findIndex((name, i) => name !== others[i]);
  if (odd >= 0 || others.length > names.length) {
    const place = odd >= 0 ? odd : names.length;
    throw notAlike(
      left,
      right,
      `column ${place + 1} is ${said(names[place])} and ${said(others[place])}`,
    );
  }
  const [{ last } = { last: null }] = await readRows(client, lastPosition(left.seq));
  for (let after = -1; after < (last ?? -1); after += ROWS_A_LOOK) {
    const look = firstDifference({ left: left.seq, right: right.seq }, after, after + ROWS_A_LOOK);
    const [found] = await readRows(client, look);
    if (found) throw notAlike(left, right, whereOf(found, names));
  }
}

function said(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}

function whereOf({ position, left, right }: Difference, names: string[]): string {
  const [one, other] = [parseJson(left ?? ""), parseJson(right ?? "")];
  const row = `row ${position + 1}`;
  if (Array.isArray(one) && Array.isArray(other)) {
    const odd = one.findIndex((cell, i) => cell !== other[i]);
    return `${row}, column ${said(names[odd])} differs`;
  }
  if (isJsonObject(one) && isJsonObject(other)) {
    const all = [...new Set([...Object.keys(one), ...Object.keys(other)])];
    const odd = all.find((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
    if (odd !== undefined) return `${row}, member ${said(odd)} differs`;
  }
  return `${row} differs`;
}

function notAlike(left: Batch, right: Batch, where: string): AppError {
  return invalid([
    {
      path: "right",
      message: `the inputs of ${left.id} and ${right.id} are not the same: ${where}. Compare batches of one input, or join rows by their ids with by=id`,
    },
  ]);
}

/** The positions of a batch's rows by the ids that its input gave them, in the order of the input. */
async function readIds(ctx: Context, batch: Batch, side: string): Promise<Ids> {
  const refuse = (message: string) => invalid([{ path: side, message: `${batch.id}: ${message}` }]);
  if (batch.total > MOST_IDS)
    throw refuse(`rows are joined by id up to ${MOST_IDS} rows; compare it with by=position`);
  const paths = idPaths(batch.columns);
  const ids: Ids = new Map();
  for (let after = -1; ;) {
    const page = { after, limit: ROWS_A_LOOK };
    const rows = await readRows(ctx.longReads.client, rowIds(batch.seq, paths, page));
    for (const { id, position } of rows) {
      if (id === null || id === "")
        throw refuse(
          `row ${position + 1} has no id (in \`id\`, \`custom_id\` or \`original_id\`); compare with by=position`,
        );
      const text = String(id);
      if (ids.has(text))
        throw refuse(`row ${position + 1} has the id ${said(text)} of another row`);
      ids.set(text, position);
    }
    const last = rows.at(-1);
    if (!last) return ids;
    after = last.position;
  }
}

/** The JSON paths of the ids in a stored row: in an object, or in an array if the batch has a header. */
function idPaths(columns: string[] | null): string[] {
  const own = columns?.findIndex((name) => meaningOf(name) === "id") ?? -1;
  const place = own >= 0 ? own : (columns?.indexOf("original_id") ?? -1);
  return ["$.id", "$.custom_id", "$.original_id", ...(place < 0 ? [] : [`$[${place}]`])];
}
