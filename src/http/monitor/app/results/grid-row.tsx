import type { BatchRow, BatchRows } from "../api/wire.ts";
import { Badge } from "../ui/badge.tsx";
import { duration, exactly, money } from "../ui/format.ts";

export type Columns =
  | (Pick<BatchRows, "columns" | "inputs"> & {
      /** The widths of the columns in characters: those of the texts in the first rows, within limits. */
      widths: number[];
    })
  | undefined;

export function GridHead({ columns }: { columns: Columns }) {
  const last = (columns?.columns.length ?? 0) - 1;
  return (
    <thead>
      <tr aria-rowindex={1}>
        <th scope="col" class="pick">
          <span class="unseen">Selected</span>
        </th>
        <th scope="col" class="num nr">
          Row
        </th>
        <th scope="col" class="state-cell">
          Status
        </th>
        {columns?.columns.map((name, i) => (
          <th
            key={i}
            scope="col"
            class={i < columns.inputs ? "input" : "answer"}
            // The last one, where errors are shown, takes the rest of the table's width.
            style={{ width: i < last ? `calc(${columns.widths[i]}ch + 1.3rem)` : "auto" }}
            title={name}
            dir="auto"
          >
            {name}
          </th>
        ))}
        <th scope="col" class="num cost">
          Cost
        </th>
        <th scope="col" class="num">
          Took
        </th>
      </tr>
    </thead>
  );
}

type Props = {
  index: number;
  row: BatchRow | undefined;
  columns: Columns;
  isActive: boolean;
  isSelected: boolean;
  focus: () => void;
  toggle: (taskId: string) => void;
  open: (taskId: string) => void;
};

export function GridRow({ index, row, columns, isActive, isSelected, focus, toggle, open }: Props) {
  const isFailed = row?.error !== null && row?.error !== undefined;
  return (
    <tr
      data-index={index}
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      class={isSelected ? "chosen" : undefined}
      tabindex={isActive ? 0 : -1}
      onFocus={focus}
      onClick={() => row && open(row.taskId)}
    >
      <td class="pick" onClick={(event) => event.stopPropagation()}>
        {row && (
          <input
            type="checkbox"
            tabindex={isActive ? 0 : -1}
            checked={isSelected}
            aria-label={`Select row ${row.position + 1}`}
            onChange={() => toggle(row.taskId)}
          />
        )}
      </td>
      <td class="num nr">{exactly((row?.position ?? index) + 1)}</td>
      <td class="state-cell">
        {row ? <Badge status={row.status} /> : <span class="quiet">…</span>}
      </td>
      {columns?.columns.map((_, i) => {
        const isAnswer = i >= columns.inputs;
        if (isAnswer && isFailed) {
          if (i > columns.inputs) return null;
          return (
            <td
              key={i}
              class="answer error"
              colspan={columns.columns.length - i}
              title={row.error ?? ""}
            >
              {row.error}
            </td>
          );
        }
        const cell = row?.cells[i];
        const text = cell === null || cell === undefined ? "" : String(cell);
        return (
          <td key={i} class={isAnswer ? "answer" : "input"} dir="auto" title={text}>
            {text}
          </td>
        );
      })}
      <td class="num cost">{row ? money(row.costUsd) : ""}</td>
      <td class="num">{row?.durationMs === null || !row ? "" : duration(row.durationMs / 1000)}</td>
    </tr>
  );
}
