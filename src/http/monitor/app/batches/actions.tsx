import { call, download, may, post } from "../api/client.ts";
import type { LiveBatch } from "../api/wire.ts";
import { go } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { toast } from "../ui/toast.tsx";
import { hasEnded, isWaiting } from "./why.ts";

type Props = { id: string; batch: LiveBatch };

/** The possible actions on a batch. The live stream reports their results. */
export function BatchActions({ id, batch }: Props) {
  const { name, status, progress } = batch;
  const path = `/batches/${encodeURIComponent(id)}`;
  const run = (verb: string, reported: string, body?: object) => async () => {
    await post(`${path}/${verb}`, body);
    toast(`${name}: ${reported}`);
  };
  if (!may("write")) return null;
  const isOpen = status === "pending" || status === "running" || status === "paused";
  return (
    <>
      {status === "pending" && !batch.startsWithItsRows && (
        <Action
          key="go"
          label={`Run ${name}`}
          run={run("execute", isWaiting(batch) ? "starts with its rows" : "started")}
        >
          Run
        </Action>
      )}
      {status === "running" && (
        <Action key="go" label={`Pause ${name}`} run={run("pause", "paused")}>
          Pause
        </Action>
      )}
      {status === "paused" && (
        <Action key="go" label={`Resume ${name}`} run={run("resume", "resumed")}>
          Resume
        </Action>
      )}
      {isOpen && (
        <Action key="end" label={`Cancel ${name}`} sure="Really?" run={run("cancel", "cancelled")}>
          Cancel
        </Action>
      )}
      {hasEnded(status) && progress.failed > 0 && (
        <Action
          key="go"
          label={`Retry failed ${name}`}
          run={run("retry", "failed tasks run again")}
        >
          Retry failed
        </Action>
      )}
      {hasEnded(status) && progress.cancelled > 0 && (
        <Action
          key="end"
          label={`Run cancelled ${name}`}
          run={run("retry", "cancelled tasks run again", { statuses: ["cancelled"] })}
        >
          Run cancelled
        </Action>
      )}
    </>
  );
}

/** The formats of results: CSV, CSV without formulas, workbook, and JSONL. */
const FILES = [
  ["CSV", "format=csv&bom=true", "as CSV"],
  ["CSV, no formulas", "format=csv&bom=true&safe=true", "as CSV without formulas"],
  ["Excel", "format=xlsx", "as a workbook"],
  ["JSONL", "format=jsonl", "as JSONL"],
] as const;

/** `filter` is the part of the query that selects rows. */
export function Downloads({
  id,
  name,
  filter = "",
}: {
  id: string;
  name: string;
  filter?: string;
}) {
  return (
    <>
      {FILES.map(([label, query, described]) => {
        const [, extension] = /^format=(\w+)/.exec(query) ?? [];
        return (
          <Action
            key={label}
            label={`${label}: download the results of ${name} ${described}`}
            run={() =>
              download(
                `/batches/${encodeURIComponent(id)}/results?${query}${filter}`,
                `${id}-results.${extension}`,
              )
            }
          >
            {label}
          </Action>
        );
      })}
    </>
  );
}

export function DeleteBatch({ id, batch }: Props) {
  if (!may("write") || !(hasEnded(batch.status) || batch.status === "pending")) return null;
  return (
    <Action
      label={`Delete ${batch.name}`}
      sure="Delete with its results?"
      run={async () => {
        await call("DELETE", `/batches/${encodeURIComponent(id)}`);
        toast(`${batch.name} is deleted`);
        go("#/batches");
      }}
    >
      Delete
    </Action>
  );
}
