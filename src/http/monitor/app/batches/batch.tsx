import type { Batch } from "../api/wire.ts";
import { batches, ends, now } from "../live/state.ts";
import { Results } from "../results/results.tsx";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { between, count, duration, money, rate } from "../ui/format.ts";
import { Card, Shown } from "../ui/panel.tsx";
import { Progress } from "../ui/progress.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { BatchActions, DeleteBatch } from "./actions.tsx";
import { toLiveBatch } from "./live-batch.ts";
import { whyNot } from "./why.ts";

/** A batch: how far it is, what it is made of, and its rows. */
export function BatchPage({ id }: { id: string }) {
  const reported = batches.value?.[id];
  const path = `/batches/${encodeURIComponent(id)}?limit=1`;
  // Fields that do not change with every task are fetched again when the status changes. The live state lacks batches
  // that are old and do not run.
  const revision = reported ? `${reported.status} ${reported.completedAt}` : ends.value;
  const batch = useResource<Batch>(path, revision);
  if (!batch.data)
    return (
      <Card id="batch" title="Batch">
        <Shown of={batch}>{() => null}</Shown>
      </Card>
    );
  return (
    <Shown of={batch}>
      {(data) => {
        const live = reported ?? toLiveBatch(data);
        return (
          <>
            <section class="card" aria-labelledby="batch-title">
              <header>
                <h2 id="batch-title" dir="auto">
                  {data.name}
                </h2>
                <div class="actions">
                  <Badge status={live.status} />
                  <BatchActions id={id} batch={live} />
                  <a class="button small" href={href(["compare"], { left: id })}>
                    Compare…
                  </a>
                  <DeleteBatch id={id} batch={live} />
                </div>
              </header>
              <div class="panel">
                <Figures batch={live} />
                <p class="hint">{whyNot(live, now.value)}</p>
                {data.input?.warning && <p class="warning">{data.input.warning}</p>}
                <details>
                  <summary>Settings</summary>
                  <Settings batch={data} />
                </details>
              </div>
            </section>
            <Results batch={data} live={live} />
          </>
        );
      }}
    </Shown>
  );
}

function Figures({ batch }: { batch: ReturnType<typeof toLiveBatch> }) {
  const { progress } = batch;
  const pairs = [
    ["done", progress.completed],
    ["failed", progress.failed],
    ["cancelled", progress.cancelled],
    ["running", progress.running],
    ["pending", progress.pending],
  ] as const;
  return (
    <>
      <Progress of={progress} label={`Progress of ${batch.name}`} />
      <p class="figures">
        <strong>{count(progress.total)}</strong> {progress.total === 1 ? "row" : "rows"}:{" "}
        {pairs
          .filter(([name, n]) => n > 0 || name === "done")
          .map(([name, n]) => `${count(n)} ${name}`)
          .join(", ")}
        <span class="quiet">
          {" · "}
          {money(batch.costUsd)}
          {batch.maxCostUsd ? ` of at most ${money(batch.maxCostUsd)}` : ""}
          {batch.perMinute > 0 ? ` · ${rate(batch.perMinute)}/min` : ""}
        </span>
        {batch.status === "running" && batch.estimatedCompletionAt && (
          <span class="quiet">
            {" · ready "}
            <Ago at={batch.estimatedCompletionAt} />
          </span>
        )}
      </p>
    </>
  );
}

function Settings({ batch }: { batch: Batch }) {
  const { config, usage, output } = batch;
  const took = between(batch.startedAt, batch.completedAt);
  const { promptTemplate, ...others } = config;
  return (
    <>
      <Facts
        pairs={[
          ["Id", batch.id],
          ["Tokens", count(usage.totalTokens)],
          ["Input", batch.inputFile ?? batch.inputBatch],
          ["Columns", batch.input?.columns.join(", ")],
          [
            "Output",
            output
              ? `${batch.outputFile} (${output.status}${output.error ? `: ${output.error}` : ""})`
              : batch.outputFile,
          ],
          ["Created", <Time at={batch.createdAt} />],
          ["Started", batch.startedAt && <Time at={batch.startedAt} />],
          ["Ended", batch.completedAt && <Time at={batch.completedAt} />],
          ["Took", took === null ? "" : duration(took)],
          ["Dry run", batch.isDryRun ? "yes: the simulator answers" : ""],
          ["Settings", Object.keys(others).length > 0 ? JSON.stringify(others) : ""],
        ]}
      />
      {typeof promptTemplate === "string" && (
        <>
          <h3>Prompt template</h3>
          <pre dir="auto">{promptTemplate}</pre>
        </>
      )}
    </>
  );
}
