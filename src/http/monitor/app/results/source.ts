import { signal } from "@preact/signals";

import { ApiError, get } from "../api/client.ts";
import type { BatchRow, BatchRows } from "../api/wire.ts";
import type { Columns } from "./grid-row.tsx";

/** Widths of columns, in characters. */
const LEAST_WIDTH = 5;
const MOST_INPUT = 26;
const MOST_ANSWER = 48;
/** The least width of all answer columns together: an error is shown in their place, and begins with its code. */
const LEAST_ANSWERS = 34;

export type Filter = { status: string; contains: string };
export type Source = ReturnType<typeof createSource>;

const BLOCK = 100;
/** The most rows of a filter that are fetched again at once. */
const MOST_AGAIN = 2 * BLOCK;
/** The most rows in memory; those farthest from the visible ones are dropped. */
const MOST_ROWS = 5000;

/**
 * The rows of a batch, fetched as they become visible. Without a filter they are fetched from any position; with a
 * filter, in order, page by page.
 */
export function createSource(id: string, filter: Filter) {
  const isFiltered = filter.status !== "" || filter.contains !== "";
  const rows = new Map<number, BatchRow>();
  const loading = new Set<number>();
  /** Loads that a change has overtaken: they are repeated when they end. */
  const overtaken = new Set<number>();
  const version = signal(0);
  const columns = signal<Columns>(undefined);
  const error = signal<ApiError | undefined>(undefined);
  /** With a filter: how many were found, and where to continue. */
  const found = signal(0);
  const isComplete = signal(false);
  let next = -1;
  let turn = 0;
  const abort = new AbortController();

  const query = queryOf(filter);

  async function fetchPage(after: number, limit: number): Promise<BatchRows | undefined> {
    try {
      const path = `/batches/${encodeURIComponent(id)}/rows?after=${after}&limit=${limit}${query}`;
      const page = await get<BatchRows>(path, abort.signal);
      columns.value = columnsOf(page, columns.peek());
      error.value = undefined;
      return page;
    } catch (problem) {
      if (problem instanceof ApiError && !abort.signal.aborted) error.value = problem;
      return undefined;
    }
  }

  /** Loads one page at a time for each mark. A page that was requested before `forget` is ignored. */
  async function load(mark: number, after: number, limit: number): Promise<BatchRows | undefined> {
    const mine = turn;
    loading.add(mark);
    const page = await fetchPage(after, limit);
    if (mine !== turn) return undefined;
    loading.delete(mark);
    return page;
  }

  async function loadBlock(block: number): Promise<void> {
    if (loading.has(block)) return;
    const page = await load(block, block * BLOCK - 1, BLOCK);
    if (!page) return;
    for (const row of page.rows) rows.set(row.position, row);
    letGo(block * BLOCK);
    version.value++;
    if (overtaken.delete(block)) await loadBlock(block);
  }

  function reloadBlock(block: number): void {
    if (loading.has(block)) overtaken.add(block);
    else void loadBlock(block);
  }

  async function loadMore(): Promise<void> {
    if (loading.size > 0 || isComplete.value) return;
    const page = await load(0, next, BLOCK);
    if (!page) return;
    for (const row of page.rows) rows.set(found.value++, row);
    if (page.next === null) isComplete.value = true;
    else next = page.next;
    version.value++;
    if (overtaken.delete(0)) await again();
    // A search that has found nothing so far continues.
    else if (page.rows.length === 0) await loadMore();
  }

  /** Fetches again what matches the filter. With more rows than `MOST_AGAIN`, only a new filter or a reload does. */
  async function again(): Promise<void> {
    if (found.value > MOST_AGAIN) return;
    if (loading.size > 0) return void overtaken.add(0);
    const page = await load(0, -1, Math.max(BLOCK, found.value));
    if (!page) return;
    rows.clear();
    for (const [i, row] of page.rows.entries()) rows.set(i, row);
    found.value = page.rows.length;
    isComplete.value = page.next === null;
    next = page.next ?? -1;
    version.value++;
    if (overtaken.delete(0)) await again();
  }

  function letGo(near: number): void {
    if (isFiltered || rows.size <= MOST_ROWS) return;
    for (const index of rows.keys()) if (Math.abs(index - near) > MOST_ROWS / 2) rows.delete(index);
  }

  function ensure(from: number, to: number): void {
    if (isFiltered) {
      if (to >= found.value - 1) void loadMore();
      return;
    }
    for (let block = Math.floor(from / BLOCK); block <= Math.floor(to / BLOCK); block++)
      if (!has(block, from, to)) void loadBlock(block);
  }

  function has(block: number, from: number, to: number): boolean {
    const first = Math.max(from, block * BLOCK);
    const last = Math.min(to, (block + 1) * BLOCK - 1);
    return rows.has(first) || rows.has(last);
  }

  return {
    query,
    isFiltered,
    version,
    columns,
    error,
    found,
    isComplete,
    row: (index: number) => rows.get(index),
    /** The index of a row among those in memory; -1 if it is not there. */
    indexOf(taskId: string): number {
      for (const [index, row] of rows) if (row.taskId === taskId) return index;
      return -1;
    },
    ensure,
    /** Fetches the visible rows again; if others have only ended, only where some have not ended. */
    refresh(from: number, to: number, isProgress: boolean): void {
      if (isFiltered) return void again();
      for (let block = Math.floor(from / BLOCK); block <= Math.floor(to / BLOCK); block++) {
        const isOpen = Array.from({ length: BLOCK }, (_, i) => rows.get(block * BLOCK + i)).some(
          (row) => !row || row.status === "pending" || row.status === "running",
        );
        if (isOpen || !isProgress || loading.has(block)) reloadBlock(block);
      }
    },
    /** Fetches a changed row again. */
    renew(taskId: string): void {
      const row = rows.values().find((one) => one.taskId === taskId);
      if (isFiltered) void again();
      else if (row) reloadBlock(Math.floor(row.position / BLOCK));
    },
    /** Drops all rows, after a retry that may have changed any of them. */
    forget(): void {
      turn++;
      loading.clear();
      overtaken.clear();
      rows.clear();
      found.value = 0;
      isComplete.value = false;
      next = -1;
      version.value++;
    },
    stop: () => abort.abort(),
  };
}

/** The columns of a page. They keep their widths while they have the same names, so that nothing moves. */
function columnsOf({ columns, inputs, rows }: BatchRows, before: Columns): Columns {
  const isKnown = before?.inputs === inputs && before.columns.join("\n") === columns.join("\n");
  if (isKnown) return before;
  const widths = columns.map((name, i) => {
    const longest = Math.max(name.length, ...rows.map(({ cells }) => textOf(cells[i]).length));
    return Math.min(i < inputs ? MOST_INPUT : MOST_ANSWER, Math.max(LEAST_WIDTH, longest));
  });
  const last = columns.length - 1;
  const answers = widths.slice(inputs).reduce((sum, one) => sum + one, 0);
  if (last >= inputs) widths[last] = (widths[last] ?? 0) + Math.max(0, LEAST_ANSWERS - answers);
  return { columns, inputs, widths };
}

const textOf = (cell: unknown): string => (cell === null || cell === undefined ? "" : String(cell));

function queryOf({ status, contains }: Filter): string {
  return `${status && `&status=${status}`}${contains && `&contains=${encodeURIComponent(contains)}`}`;
}

/** Every row that matches, a page after the other. */
export async function* allRows(id: string, filter: Filter): AsyncGenerator<BatchRow> {
  for (let after: number | null = -1; after !== null;) {
    const path = `/batches/${encodeURIComponent(id)}/rows?limit=200&after=${after}${queryOf(filter)}`;
    const page: BatchRows = await get<BatchRows>(path);
    yield* page.rows;
    after = page.next;
  }
}
