import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { money } from "../ui/format.ts";

type Side = {
  taskId: string;
  status: string;
  model: string;
  result: string | null;
  error: { code?: string; message?: string } | null;
  costUsd: number | null;
};
export type Pair = {
  input: Record<string, unknown>;
  left: Side | null;
  right: Side | null;
  equal: boolean | null;
};

export function CompareTable({ pairs }: { pairs: Pair[] }) {
  const columns = Object.keys(pairs[0]?.input ?? {}).filter((name) =>
    pairs.some(({ input }) => input[name]),
  );
  return (
    <table aria-label="Comparison" class="compare">
      <thead>
        <tr>
          {columns.map((name) => (
            <th key={name} scope="col" dir="auto">
              {name}
            </th>
          ))}
          <th scope="col">Left</th>
          <th scope="col">Right</th>
          <th scope="col">Same</th>
        </tr>
      </thead>
      <tbody>
        {pairs.map(({ input, left, right, equal }, i) => (
          <tr key={left?.taskId ?? right?.taskId ?? i}>
            {columns.map((name) => (
              <td key={name} dir="auto">
                {textOf(input[name])}
              </td>
            ))}
            <td>
              <SideCell side={left} />
            </td>
            <td>
              <SideCell side={right} />
            </td>
            <td>
              {equal === null ? "–" : equal ? "same" : <Badge status="paused">differs</Badge>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function SideCell({ side }: { side: Side | null }) {
  if (!side) return <span class="quiet">no matching row</span>;
  return (
    <>
      <div dir="auto">
        {side.error ? (
          <span class="error">{side.error.message}</span>
        ) : (
          (side.result ?? <Badge status={side.status} />)
        )}
      </div>
      <div class="hint">
        <a href={href(["tasks", side.taskId])}>{side.model}</a> {money(side.costUsd)}
      </div>
    </>
  );
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
