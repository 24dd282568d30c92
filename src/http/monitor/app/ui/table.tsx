import type { ComponentChildren } from "preact";

export type Column = { name: string; class?: string; hidden?: boolean };
export type Row = { key: string; cells: ComponentChildren[]; isChosen?: boolean };

export const num = (name: string): Column => ({ name, class: "num" });

export function Table({
  columns,
  rows,
  label,
  isStacked = false,
}: {
  columns: Column[];
  rows: Row[];
  label?: string;
  /** On a phone each row is a card of names and values. */
  isStacked?: boolean;
}) {
  return (
    <table aria-label={label} class={isStacked ? "stacked" : undefined}>
      <thead>
        <tr>
          {columns.map((column, i) => (
            <th key={i} scope="col" class={column.class}>
              {column.hidden ? <span class="unseen">{column.name}</span> : column.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ key, cells, isChosen }) => (
          <tr key={key} data-key={key} class={isChosen ? "chosen" : undefined}>
            {cells.map((cell, i) => (
              <td key={i} class={columns[i]?.class} data-name={columns[i]?.name}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Names with their values; names without a value are left out. */
export function Facts({ pairs }: { pairs: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {pairs
        .filter(
          ([, value]) => value !== null && value !== undefined && value !== "" && value !== false,
        )
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
