import { existsSync } from "node:fs";
import { parse } from "node:path";

import type { JsonObject } from "../../lib/json.ts";
import type { Batch } from "../client.ts";
import type { Tools } from "../command.ts";
import { connect, type Connection, type ConnectionOptions } from "../connect.ts";
import { type Exit, usageError } from "../failure.ts";
import { shellLine } from "../format.ts";
import { carryOut } from "./carry-out.ts";
import { type AskOptions, configOf } from "./config.ts";
import { createRun } from "./create.ts";
import { confirm } from "./estimate.ts";
import { findBase, findRun, type Job } from "./find.ts";
import { getBatch } from "./follow.ts";
import { type Input, openInput, resultsExtension } from "./input.ts";
import { requireProvider } from "./provider.ts";
import { type Out, outOf, requireRoom } from "./results.ts";
import { type Caps, pauseOthers, setCaps, startBatch, startPilot } from "./start.ts";

export type RunOptions = ConnectionOptions &
  AskOptions & {
    json: boolean;
    out?: string | undefined;
    force: boolean;
    limit?: number | undefined;
    maxCost?: number | undefined;
    concurrency?: number | undefined;
    yes: boolean;
    simulate: boolean;
    again: boolean;
  };

/**
 * Runs a file. The same command continues after any interruption, and reports if the job was already done. `words` is
 * the command line, for the command that continues it.
 */
export async function run(
  file: string,
  options: RunOptions,
  { tools, words }: { tools: Tools; words: string[] },
): Promise<Exit> {
  requireSense(file, options);
  const caps = { maxCostUsd: options.maxCost, maxConcurrency: options.concurrency };
  const config = { ...configOf(options), ...definedOf(caps) };
  const input = await openInput(file, tools.interrupt.signal);
  try {
    const out = outFor(file, input, options);
    if (out.path === input.path) throw usageError(`--out ${out.name} is the file that is read`);
    let trouble: string | null = null;
    const connection = await connect(options, {
      clock: tools.clock,
      executes: true,
      concurrency: options.concurrency,
      onTrouble: (what) => (trouble = what),
    });
    try {
      const { defaultModel } = await requireProvider(connection, options.simulate);
      const job = { input, config, isSimulated: options.simulate, defaultModel };
      return await runJob(connection, tools, job, {
        options,
        caps,
        out,
        words: file === "-" ? null : words,
        trouble: () => trouble,
      });
    } finally {
      await connection.close();
    }
  } finally {
    input.remove();
  }
}

type Plan = {
  options: RunOptions;
  caps: Caps;
  out: Out;
  /** The command line; `null` if it cannot be repeated, because its input was a pipe. */
  words: string[] | null;
  trouble: () => string | null;
};

async function runJob(
  connection: Connection,
  tools: Tools,
  job: Job,
  { options, caps, out, words, trouble }: Plan,
): Promise<Exit> {
  const { terminal } = tools;
  const batch = await prepare(connection, tools, job, options);
  const resume = ["batch", "resume", batch.id, ...connection.flags, "--out", options.out ?? "-"];
  const again = shellLine(words === null ? resume : withoutKey(words));
  await pauseOthers(connection, tools, batch.id);
  const isDone = batch.completedAt !== null && !["running", "paused"].includes(batch.status);
  if (isDone) {
    const isThere = out.path !== null && !options.force && existsSync(out.path);
    terminal.say(
      `This has been run already, as ${batch.id}; --again runs everything again` +
        (isThere ? `. ${out.name} exists and is left unchanged` : ""),
    );
    return carryOut(connection, tools, batch.id, { out, isWritten: isThere, again, trouble });
  }
  requireRoom(out);
  const { limit } = options;
  if (limit !== undefined) requireUnstarted(batch);
  await agree(connection, tools, batch, options);
  // Other clients may have changed it while the question was open.
  const agreed = await getBatch(connection, batch.id);
  if (limit !== undefined) requireUnstarted(agreed);
  await setCaps(connection, agreed, caps);
  await connection.start();
  tools.interrupt.throwIfInterrupted();
  const target = limit === undefined ? null : await startPilot(connection, tools, agreed, limit);
  if (limit === undefined) await startBatch(connection, agreed, options.simulate);
  return carryOut(connection, tools, batch.id, { target, out, again, trouble });
}

function requireUnstarted({ id, status }: Batch): void {
  if (status !== "pending")
    throw usageError(
      `${id} has been started as a whole and is ${status}; a trial with --limit comes before that`,
    );
}

/** If the user declines, an interrupted batch is paused, so that it does not continue by itself later. */
async function agree(
  connection: Connection,
  tools: Tools,
  batch: Batch,
  { yes, simulate }: RunOptions,
): Promise<void> {
  try {
    await confirm(connection, tools, batch, { isAnswered: yes, isSimulated: simulate });
  } catch (error) {
    await pauseOthers(connection, tools, null);
    throw error;
  }
}

/** The batch of a job: the existing one, or a new one. */
async function prepare(
  connection: Connection,
  tools: Tools,
  job: Job,
  { again }: RunOptions,
): Promise<Batch> {
  const { terminal } = tools;
  const found = await findRun(connection, job, again);
  if ("batch" in found) {
    const { id, status, progress } = found.batch;
    const ended = progress.completed + progress.failed;
    if (ended > 0 && status !== "completed" && status !== "failed")
      terminal.say(`Going on with ${id}: ${ended} of ${progress.total} rows are done`);
    return found.batch;
  }
  const baseBatch = again ? undefined : await findBase(connection, job);
  const { batch, reused } = await createRun(connection, tools, job, {
    id: found.newId,
    baseBatch,
  });
  const skipped = batch.input?.skipped ?? 0;
  terminal.say(
    `${job.input.name}: ${batch.progress.total} rows as ${batch.id}` +
      (skipped > 0 ? `, ${skipped} blank ones left out` : "") +
      (reused > 0
        ? `; ${reused} take the answers of ${baseBatch}, with which they are identical`
        : ""),
  );
  if (batch.input?.warning) terminal.say(`Warning: ${batch.input.warning}`);
  return batch;
}

/** Refuses contradictory options before anything is read or sent. */
function requireSense(file: string, { simulate, limit, json, out }: RunOptions): void {
  if (simulate && limit !== undefined)
    throw usageError("--limit is a trial for real; --simulate costs nothing, so leave --limit out");
  if (json && (out === "-" || (file === "-" && out === undefined)))
    throw usageError(
      "--json prints the summary where the results would go: name a file with --out",
    );
}

function definedOf(values: Record<string, number | undefined>): JsonObject {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Results of standard input go to standard output, those of a file to a file in the current folder. */
function outFor(file: string, { name }: Input, { out, force, limit }: RunOptions): Out {
  if (out !== undefined) return outOf(out, force, formatFor(name));
  if (file === "-") return outOf("-", force, formatFor(name));
  const kind = limit === undefined ? "results" : "trial";
  // The output of a trial may be replaced, because the next run contains it.
  return outOf(
    `${parse(name).name}-${kind}${resultsExtension(name)}`,
    force || limit !== undefined,
  );
}

function formatFor(name: string): string {
  return resultsExtension(name).slice(1);
}

/**
 * Removes the key, because a printed command ends up in logs, and `--again`, which would start again instead of
 * continuing.
 */
function withoutKey(words: string[]): string[] {
  return words.filter(
    (word, i) => words[i - 1] !== "--key" && !/^--key(=|$)/.test(word) && word !== "--again",
  );
}
