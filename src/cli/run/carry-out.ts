import { type Batch, type BatchSummary, failedWith } from "../client.ts";
import type { Tools } from "../command.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT, type Exit } from "../failure.ts";
import { shellLine } from "../format.ts";
import { endedOf, triedOf } from "./bar.ts";
import { type Followed, follow, getBatch, hasEnded } from "./follow.ts";
import { type Out, writeResults } from "./results.ts";
import { describeSummary, summarize } from "./summary.ts";

export type CarryOut = {
  /** For a pilot: follow until this many rows have ended. */
  target?: number | null;
  /** The target of the results; `null` for none. */
  out: Out | null;
  /** Whether the results are already written. */
  isWritten?: boolean;
  /** The command that continues after an interrupt. */
  again: string;
  trouble?: () => string | null;
};

/** Follows a started batch to its end, writes its results, and prints a summary. On Ctrl-C the batch is paused. */
export async function carryOut(
  connection: Connection,
  tools: Tools,
  id: string,
  { target = null, out, isWritten = false, again, trouble = () => null }: CarryOut,
): Promise<Exit> {
  const { terminal, clock, json } = tools;
  const ended = await untilEnded(connection, tools, id, { target, again, trouble });
  const isWhole = ended.status !== "paused";
  if (out && isWhole && !isWritten)
    await writeResults(connection, { terminal, clock }, id, {
      out,
      // Rows that a pilot has not run have no result.
      query: target === null ? {} : { status: "completed" },
    });
  const summary = await summarize(connection, ended, isWhole && out ? out.name : null);
  if (json) await terminal.out(`${JSON.stringify(summary, null, 2)}\n`);
  else terminal.say(describeSummary(summary));
  return conclude(connection, tools, ended, { out, again, isPilot: target !== null });
}

/** Follows a batch until it stays ended: another client may resume or retry it as soon as it has. */
async function untilEnded(
  connection: Connection,
  tools: Tools,
  id: string,
  { target, again, trouble }: Required<Pick<CarryOut, "target" | "again" | "trouble">>,
): Promise<Batch> {
  for (;;) {
    const batch = await follow(connection, { ...tools, trouble }, id, target);
    if (batch.isInterrupted) {
      const paused = await pauseBatch(connection, tools, batch);
      if (paused) {
        const stopped = describeInterrupt(paused, target, connection.isEmbedded);
        throw new CliError(tools.interrupt.exit(), `${stopped}. To continue:\n  ${again}`);
      }
    }
    const now = await getBatch(connection, id);
    if (hasEnded(now, target) || (batch.isInterrupted && now.status !== "running")) return now;
  }
}

/** Pauses the batch after an interrupt; a pilot cannot be paused. `undefined` if the batch had already ended. */
async function pauseBatch(
  connection: Connection,
  { terminal }: Tools,
  batch: Followed,
): Promise<Pick<Batch, "status" | "progress"> | undefined> {
  const { id, status } = batch;
  if (status !== "running") return status === "pending" ? batch : undefined;
  terminal.say("Pausing; calls in flight may finish. Ctrl-C again ends at once, and loses nothing");
  try {
    return await connection.api.call<BatchSummary>(`/batches/${encodeURIComponent(id)}/pause`, {
      method: "POST",
      isRepeatable: true,
    });
  } catch (error) {
    if (failedWith(error, "BATCH_FINISHED")) return undefined;
    throw error;
  }
}

function describeInterrupt(
  batch: Pick<Batch, "status" | "progress">,
  target: number | null,
  isEmbedded: boolean,
): string {
  const { status, progress } = batch;
  if (status !== "pending") return `Paused at ${endedOf(batch)} of ${progress.total} rows`;
  const where = isEmbedded ? "with the next command in this folder" : "at the server";
  return `Interrupted at ${triedOf(batch)} of ${target ?? progress.total} rows; those already begun go on ${where}`;
}

/** Prints what to do next, and returns the exit code. */
function conclude(
  { flags }: Connection,
  { terminal }: Tools,
  { id, status, progress, pauseReason }: Batch,
  { out, again, isPilot }: { out: Out | null; again: string; isPilot: boolean },
): Exit {
  if (status === "paused") {
    const why = pauseReason?.message.replace(/\.$/, "") ?? "by somebody else";
    terminal.say(`Paused: ${why}. To continue:\n  ${again}`);
    return EXIT.unfinished;
  }
  if (isPilot) {
    terminal.say("That was a trial; the same command without --limit continues with the rest");
    return progress.failed > 0 ? EXIT.rowsFailed : EXIT.done;
  }
  if (status === "cancelled") return EXIT.unfinished;
  if (out === null)
    terminal.say(`Results:\n  ${shellLine(["batch", "results", id, ...flags, "--out", "FILE"])}`);
  if (progress.failed === 0) return EXIT.done;
  const rewrite = out?.path ? ["--out", out.name, "--force"] : [];
  terminal.say(
    `To run what failed again:\n  ${shellLine(["batch", "retry", id, ...flags, ...rewrite])}`,
  );
  return EXIT.rowsFailed;
}
