import { useEffect, useRef, useState } from "preact/hooks";

import type { LiveBatch } from "../api/wire.ts";
import { connection } from "../live/state.ts";
import { Empty } from "../ui/panel.tsx";
import { type Columns, GridHead, GridRow } from "./grid-row.tsx";
import type { Source } from "./source.ts";

/** The height of a row in px. Each row has one line, so the position of any row is known. */
const ROW = 33;
/** Browsers limit the height of elements to about 16 million px, so scrolling over more rows is scaled. */
const MOST_PX = 12_000_000;
const REFRESH_MS = 1000;
const COUNTERS = ["completed", "failed", "cancelled"] as const;

type Props = {
  source: Source;
  total: number;
  batch: LiveBatch;
  selected: ReadonlySet<string>;
  select: (selected: ReadonlySet<string>) => void;
  open: (taskId: string) => void;
};

/**
 * A virtual table that renders only the visible rows. It stays in place within a box whose scroll height is that of
 * all rows; the scroll position determines the rows that are shown.
 */
export function Grid({ source, total, batch, selected, select, open }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [active, setActive] = useState(0);
  /** The active row as of the last key, because keys can come faster than renderings. */
  const latest = useRef(0);
  const height = Math.min(560, 2 * ROW + Math.max(3, total) * ROW);
  const visible = Math.max(1, Math.floor((height - 2 * ROW) / ROW));
  const whole = Math.min(MOST_PX, (total + 2) * ROW);
  const isScaled = (total + 2) * ROW > MOST_PX;
  const furthest = Math.max(0, total - visible);
  const first = isScaled
    ? Math.round((top / Math.max(1, whole - height)) * furthest)
    : Math.min(furthest, Math.round(top / ROW));
  const last = Math.min(total - 1, first + visible);
  void source.version.value;

  useEffect(() => {
    if (box.current) box.current.scrollTop = 0;
    setTop(0);
    activate(0);
  }, [source]);
  useEffect(
    () => source.ensure(first, Math.max(first, last)),
    [source, first, last, source.version.value, connection.value],
  );
  useProgress(batch, (isProgress) => source.refresh(first, Math.max(first, last), isProgress));

  function activate(index: number): void {
    latest.current = index;
    setActive(index);
  }

  function show(index: number): void {
    const to = Math.max(0, Math.min(total - 1, index));
    activate(to);
    if (to >= first && to < first + visible) return focusRow(box.current, to);
    const start = Math.max(0, Math.min(furthest, to < first ? to : to - visible + 1));
    const next = isScaled ? (start / Math.max(1, furthest)) * (whole - height) : start * ROW;
    if (box.current) box.current.scrollTop = next;
    setTop(next);
    // The focused row disappears, and with it the focus, before the next one is there.
    box.current?.focus({ preventScroll: true });
    requestAnimationFrame(() => focusRow(box.current, latest.current));
  }

  function onKeyDown(event: KeyboardEvent): void {
    // After scrolling, the focused elements may show another row.
    const at = indexOf(event.target) ?? latest.current;
    const row = source.row(at);
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + visible,
      PageUp: at - visible,
      Home: 0,
      End: total - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) show(to);
    else if (event.key === "Enter" && row && !isControl(event.target)) open(row.taskId);
    else if (event.key === " " && row && !isControl(event.target)) toggle(row.taskId);
    else return;
    event.preventDefault();
  }

  function toggle(taskId: string): void {
    const next = new Set(selected);
    if (!next.delete(taskId)) next.add(taskId);
    select(next);
  }

  const columns = source.columns.value;
  if (total === 0 && (source.isComplete.value || !source.isFiltered))
    return <Empty>No row matches.</Empty>;
  const indexes = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  return (
    <div
      ref={box}
      tabindex={-1}
      class="grid-box"
      style={{ height: `${height}px` }}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
    >
      <div style={{ height: `${whole}px`, width: widthOf(columns) }} class="grid-size">
        <table
          role="grid"
          class="grid"
          aria-label="Rows"
          aria-rowcount={total + 1}
          aria-multiselectable="true"
        >
          <GridHead columns={columns} />
          <tbody>
            {indexes.map((index) => (
              <GridRow
                // A row that leaves lends its elements to one that comes, because new elements cost a third of a frame.
                key={index % (visible + 1)}
                index={index}
                row={source.row(index)}
                columns={columns}
                isActive={index === Math.max(first, Math.min(active, last))}
                isSelected={selected.has(source.row(index)?.taskId ?? "")}
                focus={() => activate(index)}
                toggle={toggle}
                open={open}
              />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** As wide as its columns, or as the box if that is wider. Without an own width, the browser would choose the columns' widths. */
function widthOf(columns: Columns): string {
  const { widths = [] } = columns ?? {};
  const characters = widths.reduce((sum, one) => sum + one, 0);
  return `max(100%, calc(26.1rem + ${characters}ch + ${widths.length * 1.3}rem))`;
}

function isControl(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLButtonElement;
}

function indexOf(target: EventTarget | null): number | undefined {
  const row = target instanceof Element ? target.closest<HTMLElement>("tr[data-index]") : null;
  return row ? Number(row.dataset["index"]) : undefined;
}

function focusRow(box: HTMLElement | null, index: number): void {
  const row = box?.querySelector(`[data-index="${index}"]`);
  if (row instanceof HTMLElement) row.focus({ preventScroll: true });
}

/**
 * Calls `change` when rows may have changed, at most once a second; with true if rows have only ended. A row that is run
 * again between two states leaves the counters as they were, but not the time of the batch's end or its cost.
 */
function useProgress(batch: LiveBatch, change: (isProgress: boolean) => void): void {
  const { progress, completedAt, costUsd } = batch;
  const at = useRef(-Infinity);
  const latest = useRef(change);
  const shown = useRef<LiveBatch | undefined>(undefined);
  latest.current = change;
  useEffect(() => {
    const waitMs = Math.max(0, REFRESH_MS - (performance.now() - at.current));
    const timer = setTimeout(() => {
      at.current = performance.now();
      latest.current(isProgressOf(shown.current, batch));
      shown.current = batch;
    }, waitMs);
    return () => clearTimeout(timer);
  }, [progress, completedAt, costUsd]);
}

function isProgressOf(before: LiveBatch | undefined, after: LiveBatch): boolean {
  if (!before) return true;
  const grew = COUNTERS.map((name) => after.progress[name] - before.progress[name]);
  const isOver = after.completedAt !== before.completedAt;
  return !isOver && grew.every((by) => by >= 0) && grew.some((by) => by > 0);
}
