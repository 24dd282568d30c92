import { may } from "../api/client.ts";
import type { LiveBatch } from "../api/wire.ts";
import { newestBatches, now } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { ago, count, money, rate } from "../ui/format.ts";
import { Card, Empty, Loading } from "../ui/panel.tsx";
import { Progress } from "../ui/progress.tsx";
import { BatchActions } from "./actions.tsx";
import { hasEnded, whyNot } from "./why.ts";

const HEADS = ["Batch", "Status", "Progress", "Done", "Pace", "Ready", "Cost"];

/** The newest batches, and those that run: from the live stream. */
export function BatchCard() {
  const all = newestBatches.value;
  const of = (status: string) => all?.filter(([, batch]) => batch.status === status).length ?? 0;
  const words = [
    of("running") > 0 && `${of("running")} running`,
    of("paused") > 0 && `${of("paused")} paused`,
  ];
  return (
    <Card
      id="batches"
      title="Batches"
      isWide
      note={
        <span class="quiet">
          {words.filter(Boolean).join(", ")} <a href="#/batches">all batches</a>
        </span>
      }
    >
      {!all && <Loading />}
      {all?.length === 0 && (
        <Empty>
          No batch yet.{" "}
          {may("write") ? (
            <a href="#/new">Upload a table and run it</a>
          ) : (
            "Upload a table and run it"
          )}
          : one row is one task.
        </Empty>
      )}
      {all && all.length > 0 && <BatchTable batches={all} />}
    </Card>
  );
}

export function BatchTable({ batches }: { batches: [string, LiveBatch][] }) {
  return (
    <table aria-label="Batches">
      <thead>
        <tr>
          {HEADS.map((name, i) => (
            <th key={name} scope="col" class={i > 2 ? "num" : undefined}>
              {name}
            </th>
          ))}
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {batches.map(([id, batch]) => (
          <BatchRow key={id} id={id} batch={batch} />
        ))}
      </tbody>
    </table>
  );
}

function BatchRow({ id, batch }: { id: string; batch: LiveBatch }) {
  const { completed, failed, cancelled, total } = batch.progress;
  const besides = [
    failed > 0 && `${count(failed)} failed`,
    cancelled > 0 && `${count(cancelled)} cancelled`,
  ];
  const why = whyNot(batch, now.value);
  return (
    <tr data-batch={id}>
      <td class="name">
        <a href={href(["batches", id])} dir="auto">
          {batch.name}
        </a>
        {why && <div class="hint cut">{why}</div>}
      </td>
      <td>
        <Badge status={batch.status} />
      </td>
      <td class="bar-cell">
        <Progress of={batch.progress} label={`Progress of ${batch.name}`} />
      </td>
      <td class="num">
        <div>
          {count(completed + failed)} / {count(total)}
        </div>
        <div class="hint">{besides.filter(Boolean).join(", ")}</div>
      </td>
      <td class="num">{batch.perMinute > 0 ? `${rate(batch.perMinute)}/min` : ""}</td>
      <td class="num left">
        {batch.status === "running" && batch.estimatedCompletionAt
          ? ago(batch.estimatedCompletionAt, now.value)
          : ""}
      </td>
      <td class="num">{money(batch.costUsd)}</td>
      <td class="act">
        <div class="buttons">
          <BatchActions id={id} batch={batch} />
          {hasEnded(batch.status) && (
            <a
              class="button small"
              href={href(["batches", id])}
              aria-label={`Results of ${batch.name}`}
            >
              Results
            </a>
          )}
        </div>
      </td>
    </tr>
  );
}
