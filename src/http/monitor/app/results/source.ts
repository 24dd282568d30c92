import { signal } from "@preact/signals";

import { ApiError, get } from "../api/client.ts";
import type { BatchRow, BatchRows } from "../api/wire.ts";

export type Filter = { status: string; contains: string };
export type Source = ReturnType<typeof createSource>;

const BLOCK = 100;
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
  const version = signal(0);
  const columns = signal<Pick<BatchRows, "columns" | "inputs"> | undefined>(undefined);
  const error = signal<ApiError | undefined>(undefined);
  /** With a filter: how many were found, and where to continue. */
  const found = signal(0);
  const isComplete = signal(false);
  let next = -1;
  const abort = new AbortController();

  const query = queryOf(filter);

  async function fetchPage(after: number, limit: number): Promise<BatchRows | undefined> {
    try {
      const path = `/batches/${encodeURIComponent(id)}/rows?after=${after}&limit=${limit}${query}`;
      const page = await get<BatchRows>(path, abort.signal);
      columns.value = { columns: page.columns, inputs: page.inputs };
      error.value = undefined;
      return page;
    } catch (problem) {
      if (problem instanceof ApiError && !abort.signal.aborted) error.value = problem;
      return undefined;
    }
  }

  async function loadBlock(block: number): Promise<void> {
    if (loading.has(block)) return;
    loading.add(block);
    const page = await fetchPage(block * BLOCK - 1, BLOCK);
    loading.delete(block);
    for (const row of page?.rows ?? []) rows.set(row.position, row);
    letGo(block * BLOCK);
    version.value++;
  }

  async function loadMore(): Promise<void> {
    if (loading.size > 0 || isComplete.value) return;
    loading.add(0);
    const page = await fetchPage(next, BLOCK);
    loading.delete(0);
    if (!page) return;
    for (const row of page.rows) rows.set(found.value++, row);
    if (page.next === null) isComplete.value = true;
    else next = page.next;
    version.value++;
    // A search that has found nothing so far continues.
    if (page.rows.length === 0) await loadMore();
  }

  function letGo(near: number): void {
    if (isFiltered || rows.size <= MOST_ROWS) return;
    const far = [...rows.keys()].toSorted((a, b) => Math.abs(b - near) - Math.abs(a - near));
    for (const index of far.slice(0, rows.size - MOST_ROWS)) rows.delete(index);
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
    /** Fetches the visible rows again if some of them have not ended. */
    refresh(from: number, to: number): void {
      if (isFiltered) return;
      for (let block = Math.floor(from / BLOCK); block <= Math.floor(to / BLOCK); block++) {
        const isOpen = Array.from({ length: BLOCK }, (_, i) => rows.get(block * BLOCK + i)).some(
          (row) => !row || row.status === "pending" || row.status === "running",
        );
        if (isOpen) void loadBlock(block);
      }
    },
    /** Drops all rows, because they may have changed after a retry. */
    forget(): void {
      rows.clear();
      found.value = 0;
      isComplete.value = false;
      next = -1;
      version.value++;
    },
    stop: () => abort.abort(),
  };
}

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
