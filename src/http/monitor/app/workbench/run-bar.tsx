import { useRef, useState } from "preact/hooks";

import { call, post } from "../api/client.ts";
import type { Estimate, Preview } from "../api/wire.ts";
import { batches } from "../live/state.ts";
import { go, href } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { TextField } from "../ui/field.tsx";
import { count, duration, money, moneyRange, plural } from "../ui/format.ts";
import { useResource } from "../ui/resource.ts";
import { toast } from "../ui/toast.tsx";
import { CopyAs } from "./copy-as.tsx";
import { change, draft, fingerprint } from "./draft.ts";
import { type Problem, ProblemText } from "./problem.tsx";
import { SaveSchedule } from "./save-schedule.tsx";

const TRIED_ROWS = 5;

type Props = {
  preview: Preview | undefined;
  config: Record<string, unknown> | undefined;
  problem: Problem;
};

/** The estimate, always visible, and the buttons that run it. */
export function RunBar({ preview, config, problem }: Props) {
  /** Whether a run is being created or started: a press of the other button would create it twice. */
  const isBusy = useRef(false);
  const [isStarting, setStarting] = useState(false);
  const [dialog, setDialog] = useState<"schedule" | "copy" | undefined>();
  const current = draft.value;
  const estimate = preview?.estimate;
  const pilot = config && current.pilot?.of === fingerprint(current) ? current.pilot.id : undefined;
  const isReady = config !== undefined && problem.text === "" && Boolean(estimate);
  return (
    <section class="run-bar" aria-label="Run">
      <div class="estimate" role="status">
        {estimate ? (
          <Estimated estimate={estimate} isWhole={preview.isWhole} pilot={pilot} />
        ) : (
          <>
            <strong>No estimate yet</strong>{" "}
            {preview && !problem.text && <span class="quiet">{missing(preview)}</span>}
          </>
        )}{" "}
        <ProblemText {...problem} />
      </div>
      <div class="actions">
        <TextField
          label="Costs at most, in USD"
          type="number"
          value={current.maxCostUsd}
          placeholder="no limit"
          onInput={(maxCostUsd) => change({ maxCostUsd })}
        />
        <Action kind="normal" isDisabled={!isReady || isStarting} run={alone(tryRows)}>
          Try {TRIED_ROWS} rows
        </Action>
        <Action kind="primary" isDisabled={!isReady || isStarting} run={alone(runAll)}>
          Run all
        </Action>
        <Action kind="normal" isDisabled={!isReady} run={() => setDialog("schedule")}>
          Save as schedule
        </Action>
        <Action kind="normal" isDisabled={!config} run={() => setDialog("copy")}>
          Copy as…
        </Action>
      </div>
      {dialog === "schedule" && config && (
        <SaveSchedule config={config} close={() => setDialog(undefined)} />
      )}
      {dialog === "copy" && config && <CopyAs config={config} close={() => setDialog(undefined)} />}
    </section>
  );

  function alone(run: () => Promise<void>) {
    return async () => {
      if (isBusy.current) return;
      isBusy.current = true;
      setStarting(true);
      try {
        await run();
      } finally {
        isBusy.current = false;
        setStarting(false);
      }
    };
  }

  /** The batch of this draft. If it could be created but not started, the next attempt starts the same one. */
  async function create(): Promise<string> {
    const { file, name } = current;
    const { id } = await post<{ id: string }>("/batches", {
      name: name.trim() || file?.name,
      inputFile: file?.id,
      config,
    });
    // The user may have chosen another table in the meantime.
    if (draft.value.file?.id === file?.id) change({ pilot: { id, of: fingerprint(current) } });
    return id;
  }

  async function tryRows(): Promise<void> {
    const id = pilot ?? (await create());
    await post(`/batches/${encodeURIComponent(id)}/execute`, {
      limit: TRIED_ROWS,
      isDryRun: current.isDryRun,
    });
    toast(`${TRIED_ROWS} rows have started`);
    // Their answers appear there.
    document.getElementById("first-rows")?.scrollIntoView({ block: "nearest" });
  }

  /** The rows of a pilot are not run again: its batch continues with the rest. */
  async function runAll(): Promise<void> {
    const id = pilot ?? (await create());
    const path = `/batches/${encodeURIComponent(id)}`;
    if (pilot) {
      const { maxCostUsd = null, maxConcurrency } = config ?? {};
      await call("PATCH", path, { maxCostUsd, ...(maxConcurrency ? { maxConcurrency } : {}) });
    }
    await post(`${path}/execute`, { isDryRun: current.isDryRun });
    if (draft.value.pilot?.id === id) change({ pilot: undefined });
    go(href(["batches", id]));
  }
}

/** What an estimate still needs. */
function missing(preview: Preview): string {
  if (preview.rowCount === 0) return "The table has no rows.";
  return draft.value.prompt.trim() === "" ? "Write a prompt first." : "";
}

type EstimatedProps = {
  estimate: NonNullable<Preview["estimate"]>;
  isWhole: boolean;
  pilot: string | undefined;
};

function Estimated({ estimate, isWhole, pilot }: EstimatedProps) {
  const measured = useResource<Estimate>(
    pilot ? `/batches/${encodeURIComponent(pilot)}/estimate` : null,
    pilot && batches.value?.[pilot]?.progress,
  ).data?.measured;
  const { tasks, promptTokens, completionTokens, costUsd, durationSeconds, unpricedModels } =
    estimate;
  return (
    <>
      <strong>
        {isWhole ? plural(tasks, "row") : `${count(tasks)} or more rows`} ·{" "}
        {costUsd
          ? moneyRange(costUsd.min, costUsd.max)
          : `the price of ${unpricedModels.join(", ")} is not known`}{" "}
        · about {duration(durationSeconds)}
      </strong>{" "}
      <span class="quiet">
        {count(promptTokens)} tokens in, up to {count(completionTokens.max)} out
        {measured
          ? `; by the ${measured.rows} rows tried, the rest costs ${money(measured.costUsd)}, ${money(measured.costUsdPerRow)} a row`
          : ""}
      </span>
    </>
  );
}
