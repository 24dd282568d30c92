import type { BatchRows, Preview } from "../api/wire.ts";
import { batches } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { money } from "../ui/format.ts";
import { Card, Loading } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { change, draft, fingerprint } from "./draft.ts";

/** The first rows as they were read, with the answers of those that were tried. */
export function TablePreview({
  preview,
  isLoading,
}: {
  preview: Preview | undefined;
  isLoading: boolean;
}) {
  const { pilot, row: chosen } = draft.value;
  const isOld = pilot !== undefined && pilot.of !== safeFingerprint();
  const tried = useResource<BatchRows>(
    pilot ? `/batches/${encodeURIComponent(pilot.id)}/rows?limit=20` : null,
    pilot && batches.value?.[pilot.id]?.progress,
  );
  const answers = (tried.data?.columns ?? []).slice(tried.data?.inputs ?? 0);
  if (!preview) return isLoading ? <Loading /> : null;
  return (
    <Card
      id="first-rows"
      title="First rows"
      isWide
      note={
        pilot && (
          <span class="quiet">
            {isOld ? "These answers are from an earlier prompt. " : ""}
            <a href={href(["batches", pilot.id])}>The rows that were tried</a>
          </span>
        )
      }
    >
      <table aria-label="First rows" class="first-rows">
        <thead>
          <tr>
            <th scope="col" class="num">
              Row
            </th>
            {preview.columns.map((name) => (
              <th key={name} scope="col" dir="auto">
                {name}
              </th>
            ))}
            {pilot &&
              answers.map((name) => (
                <th key={`answer ${name}`} scope="col" class="answer">
                  {name}
                </th>
              ))}
            {pilot && (
              <th scope="col" class="num">
                Cost
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {preview.rows.map(({ row, cells, issues }) => {
            const answer = tried.data?.rows.find(({ position }) => position === row - 1);
            const isTried = answer !== undefined && answer.status !== "pending";
            return (
              <tr key={row} class={row === chosen ? "chosen" : undefined}>
                <td class="num">
                  <button
                    type="button"
                    class="plain small"
                    title={issues[0]?.message}
                    aria-label={`Show what is sent for row ${row}`}
                    onClick={() => change({ row })}
                  >
                    {row}
                  </button>
                </td>
                {preview.columns.map((name, i) => (
                  <td key={name} class="input" dir="auto" title={cells[i]}>
                    {cells[i]}
                  </td>
                ))}
                {pilot &&
                  answers.map((name, i) => (
                    <td key={`answer ${name}`} class="answer" dir="auto">
                      {isTried &&
                      (answer.error !== null || answer.status !== "completed") &&
                      i === 0 ? (
                        <span class="error">
                          {answer.error ?? <Badge status={answer.status} />}
                        </span>
                      ) : isTried ? (
                        String(answer.cells[(tried.data?.inputs ?? 0) + i] ?? "")
                      ) : (
                        ""
                      )}
                    </td>
                  ))}
                {pilot && <td class="num">{isTried ? money(answer.costUsd) : ""}</td>}
              </tr>
            );
          })}
        </tbody>
      </table>
    </Card>
  );
}

function safeFingerprint(): string {
  try {
    return fingerprint(draft.value);
  } catch {
    return "";
  }
}
