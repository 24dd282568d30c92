import type { Batch } from "../client.ts";
import type { Tools } from "../command.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT } from "../failure.ts";
import { count, dollars, duration } from "../format.ts";

/** The used fields of `GET /batches/{id}/estimate`. */
type Estimate = {
  tasks: number;
  reused: number | null;
  promptTokens: number;
  completionTokens: { min: number; max: number };
  costUsd: { min: number; max: number } | null;
  unpricedModels: string[];
  durationSeconds: number;
  concurrency: number;
  measured: { rows: number; costUsd: number | null } | null;
};

function getEstimate({ api }: Connection, { id }: Batch, signal: AbortSignal): Promise<Estimate> {
  return api.call<Estimate>(`/batches/${encodeURIComponent(id)}/estimate`, { signal });
}

function describeEstimate(estimate: Estimate, isSimulated: boolean): string {
  const { tasks, reused, promptTokens, completionTokens, costUsd, measured } = estimate;
  const calls = tasks - (reused ?? 0);
  const cost = costUsd
    ? `${dollars(costUsd.min)} to ${dollars(costUsd.max)}`
    : `cost unknown (no price for ${estimate.unpricedModels.join(", ")})`;
  return [
    `Estimate: ${count(calls, "row")} to ask${reused ? `, ${reused} taken over` : ""}; ` +
      `${promptTokens} tokens in, ${completionTokens.min} to ${completionTokens.max} out; ` +
      `${isSimulated ? `nothing to pay (simulated; for real ${cost})` : cost}; ` +
      `about ${duration(estimate.durationSeconds)} at ${estimate.concurrency} at once`,
    ...(measured?.costUsd && !isSimulated
      ? [
          `By the ${count(measured.rows, "row")} that have run, the rest costs ${dollars(measured.costUsd)}`,
        ]
      : []),
  ].join("\n");
}

/**
 * Shows the estimate and asks whether to continue. Without a terminal, with `--yes`, or with the simulator, it does not
 * ask.
 */
export async function confirm(
  connection: Connection,
  { terminal, interrupt }: Pick<Tools, "terminal" | "interrupt">,
  batch: Batch,
  { isAnswered, isSimulated }: { isAnswered: boolean; isSimulated: boolean },
): Promise<void> {
  const estimate = await getEstimate(connection, batch, interrupt.signal);
  terminal.say(describeEstimate(estimate, isSimulated));
  if (isAnswered || isSimulated || !terminal.isInteractive || estimate.tasks === 0) return;
  const answer = await terminal.ask("Run it? [y/N] ", interrupt.signal);
  if (!/^\s*y(es)?\s*$/i.test(answer))
    throw new CliError(EXIT.unfinished, "Nothing was started", { code: "DECLINED" });
}
