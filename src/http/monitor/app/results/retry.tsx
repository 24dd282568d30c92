import { useState } from "preact/hooks";

import { ApiError, may, post } from "../api/client.ts";
import type { Batch, LiveBatch } from "../api/wire.ts";
import { hasEnded } from "../batches/why.ts";
import { Action } from "../ui/action.tsx";
import { plural } from "../ui/format.ts";
import { toast } from "../ui/toast.tsx";
import { allRows, type Filter } from "./source.ts";

type Props = {
  batch: Batch;
  live: LiveBatch;
  filter: Filter;
  selected: ReadonlySet<string>;
  done: () => void;
};

const AT_ONCE = 4;

/** Runs rows again: those that are selected, or all that match the filter. */
export function RetryActions({ batch, live, filter, selected, done }: Props) {
  const [progress, setProgress] = useState("");
  if (!may("write")) return null;
  const isWhole = filter.contains === "" && ["failed", "cancelled"].includes(filter.status);

  async function run(ids: AsyncIterable<string> | Iterable<string>): Promise<void> {
    const sum = { started: 0, refused: 0 };
    try {
      await inTurns(ids, async (id) => {
        try {
          await post(`/tasks/${encodeURIComponent(id)}/execute`);
          sum.started++;
        } catch (error) {
          // A row that is already running, or was deleted, does not stop the others.
          if (!(error instanceof ApiError) || error.status === 0 || error.status === 429)
            throw error;
          sum.refused++;
        }
        setProgress(`${plural(sum.started, "row")} started`);
      });
    } finally {
      setProgress("");
      toast(
        `${plural(sum.started, "row")} started${sum.refused > 0 ? `, ${sum.refused} could not be started` : ""}`,
      );
      done();
    }
  }

  async function retryAll(): Promise<void> {
    if (isWhole && hasEnded(live.status)) {
      await post(`/batches/${encodeURIComponent(batch.id)}/retry`, { statuses: [filter.status] });
      toast(`${batch.name}: all ${filter.status} rows run again`);
      return done();
    }
    await run(idsOf(batch.id, filter));
  }

  return (
    <>
      {selected.size > 0 && (
        <Action run={() => run(selected)}>Retry {plural(selected.size, "row")}</Action>
      )}
      {(filter.status !== "" || filter.contains !== "") && (
        <Action sure="Really, all of them?" run={retryAll}>
          Retry all that match
        </Action>
      )}
      {progress && (
        <span class="quiet" role="status">
          {progress}
        </span>
      )}
    </>
  );
}

async function* idsOf(batch: string, filter: Filter): AsyncGenerator<string> {
  for await (const row of allRows(batch, filter)) if (row.status !== "running") yield row.taskId;
}

/** A few at a time, in their order. */
async function inTurns(
  ids: AsyncIterable<string> | Iterable<string>,
  work: (id: string) => Promise<void>,
): Promise<void> {
  let chunk: string[] = [];
  const flush = async () => {
    await Promise.all(chunk.map(work));
    chunk = [];
  };
  for await (const id of ids) {
    chunk.push(id);
    if (chunk.length >= AT_ONCE) await flush();
  }
  await flush();
}
