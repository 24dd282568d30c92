import { sha256Hex } from "../../lib/hash.ts";
import { canonicalJson, type JsonObject } from "../../lib/json.ts";
import { type Batch, type BatchSummary, failedWith } from "../client.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT } from "../failure.ts";
import { getBatch } from "./follow.ts";
import type { Input } from "./input.ts";

/** What is to be done with a file. Runs of the same are the same batch, however they were interrupted. */
export type Job = {
  input: Input;
  config: JsonObject;
  isSimulated: boolean;
  /** Of the server: what rows get that name no model. */
  defaultModel: string;
};

/** What the ids of batches are made of; with another meaning of it comes another number. */
const VERSION = 1;
/** Far more than anybody runs the same file with `--again`. */
const MOST_RUNS = 1000;

/**
 * The id of a job: the same whenever the bytes of the file, what is asked, and the model are. Caps and
 * concurrency are no part of it, because they can be changed while it runs.
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

async function findBatch(connection: Connection, id: string): Promise<Batch | undefined> {
  try {
    return await getBatch(connection, id);
  } catch (error) {
    if (failedWith(error, "BATCH_NOT_FOUND")) return undefined;
    throw error;
  }
}

/** What the command line notes in the metadata of its batches. */
export type Note = { source: string | null };

/** The latest run of the same file with other contents: rows that are as they were take its answers. */
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
