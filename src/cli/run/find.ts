import { sha256Hex } from "../../lib/hash.ts";
import { canonicalJson, type JsonObject } from "../../lib/json.ts";
import { type Batch, type BatchSummary, failedWith } from "../client.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT } from "../failure.ts";
import { getBatch } from "./follow.ts";
import type { Input } from "./input.ts";

/** A job: a file and its settings. Runs of the same job use the same batch, however they were interrupted. */
export type Job = {
  input: Input;
  config: JsonObject;
  isSimulated: boolean;
  /** The server's model for rows that name none. */
  defaultModel: string;
};

/** The version of the ids' content; change it when the content changes. */
const VERSION = 1;
/** The most runs of one job with `--again`. */
const MOST_RUNS = 1000;

/**
 * The id of a job: a hash of the bytes of the file, the configuration and the model. Caps and concurrency are not
 * included, because they can be changed while it runs.
 */
function idOf({ input, config, isSimulated, defaultModel }: Job): string {
  const { maxConcurrency: _, maxCostUsd: __, ...asked } = config;
  const model = asked["model"] ?? defaultModel;
  const what = { version: VERSION, file: input.sha256, asked: { ...asked, model }, isSimulated };
  return `run-${sha256Hex(canonicalJson(what)).slice(0, 16)}`;
}

/** The latest batch of a job, or the id of the next one: `run-…`, with `--again` `run-…-2` and so on. */
export async function findRun(
  connection: Connection,
  job: Job,
  isAgain: boolean,
): Promise<{ batch: Batch } | { newId: string }> {
  const id = idOf(job);
  let latest: Batch | undefined;
  for (let n = 1; n <= MOST_RUNS; n++) {
    const next = n === 1 ? id : `${id}-${n}`;
    const found = await findBatch(connection, next);
    if (!found) return latest && !isAgain ? { batch: latest } : { newId: next };
    latest = found;
  }
  throw new CliError(EXIT.failed, `There are ${MOST_RUNS} runs of this; delete some of ${id}-…`);
}

export async function findBatch(connection: Connection, id: string): Promise<Batch | undefined> {
  try {
    return await getBatch(connection, id);
  } catch (error) {
    if (failedWith(error, "BATCH_NOT_FOUND")) return undefined;
    throw error;
  }
}

/** The metadata that the command line adds to its batches. */
export type Note = { source: string | null };

/** The latest run of the same file with other contents, whose answers unchanged rows reuse. */
export async function findBase(
  { api }: Connection,
  { input, isSimulated }: Job,
): Promise<string | undefined> {
  if (input.source === null || isSimulated) return undefined;
  const { batches } = await api.call<{ batches: BatchSummary[] }>("/batches", {
    query: { name: input.name, limit: 50 },
  });
  const isOfSame = ({ metadata, isDryRun, progress }: BatchSummary) =>
    (metadata?.["gptrunner"] as Note | undefined)?.source === input.source &&
    !isDryRun &&
    progress.completed > 0;
  return batches.find(isOfSame)?.id;
}
