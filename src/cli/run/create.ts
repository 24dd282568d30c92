import { systemFiles } from "../../lib/file-system.ts";
import { type Batch, type CreatedBatch, failedWith } from "../client.ts";
import type { Tools } from "../command.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT, type Exit, usageError } from "../failure.ts";
import { pause } from "../interrupt.ts";
import { findBatch, type Job, type Note } from "./find.ts";
import { getBatch } from "./follow.ts";

type Created = { batch: Batch; reused: number };

/** Uploads the file and creates a batch. If another run was faster, uses its batch. */
export async function createRun(
  connection: Connection,
  tools: Pick<Tools, "clock" | "interrupt">,
  job: Job,
  run: { id: string; baseBatch: string | undefined },
): Promise<Created> {
  const file = await upload(connection, job.input, tools.interrupt.signal);
  let isRead = false;
  try {
    return await createOrFind(connection, tools, job, { ...run, file });
  } catch (error) {
    isRead = !connection.isEmbedded && mayStillRead(error);
    throw error;
  } finally {
    // The batch keeps its rows.
    if (!isRead) await remove(connection, file);
  }
}

async function createOrFind(
  connection: Connection,
  { clock, interrupt: { signal } }: Pick<Tools, "clock" | "interrupt">,
  { input, config, isSimulated }: Job,
  { id, baseBatch, file }: { id: string; baseBatch: string | undefined; file: string },
): Promise<Created> {
  const note: Note = { source: input.source };
  try {
    const { reused = 0 } = await connection.api.call<CreatedBatch>("/batches", {
      method: "POST",
      body: {
        id,
        name: nameOf(input.name),
        inputFile: file,
        // Runs of one file with different questions must not conflict over its ids.
        scopedIds: true,
        config,
        metadata: { gptrunner: note },
        ...(baseBatch === undefined || isSimulated ? {} : { baseBatch }),
      },
      // The id depends on the file. An equal request waits for the first one, which may go on after a timeout.
      headers: { "idempotency-key": `cli-${id}` },
      signal,
      isRepeatable: true,
    });
    return { batch: await getBatch(connection, id), reused };
  } catch (error) {
    // Another run has created it, from an upload of its own, or the answer to a first request was lost.
    if (failedWith(error, "BATCH_ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED"))
      return { batch: await getBatch(connection, id), reused: 0 };
    if (!isBeingCreated(error)) throw error;
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      const batch = await findBatch(connection, id);
      if (batch) return { batch, reused: 0 };
      await pause(clock, LOOK_EVERY_MS, signal);
      signal.throwIfAborted();
    }
    throw error;
  }
}

const LOOK_EVERY_MS = 1000;
const MOST_LOOKS = 60;

/**
 * Whether names of rows are taken. They are unique within the batch, so it is being created: by a run with another API
 * key, or in another process of the server. It can be found when all of its rows are read.
 */
function isBeingCreated(error: unknown): boolean {
  return (
    failedWith(error, "TASK_ALREADY_EXISTS") ||
    (failedWith(error, "VALIDATION_ERROR") &&
      /is the id of another task already|was used before/.test(String(error)))
  );
}

/** Whether a server may still be reading the upload for a request whose answer was lost. */
function mayStillRead(error: unknown): boolean {
  const exits: Exit[] = [EXIT.unavailable, EXIT.interrupted, EXIT.terminated];
  return (error instanceof CliError && exits.includes(error.exit)) || isBeingCreated(error);
}

/** A remaining upload is no reason to fail the command: it is removed by retention, or by hand. */
async function remove({ api }: Connection, file: string): Promise<void> {
  try {
    await api.call(`/files/${file}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof CliError) || error.exit === EXIT.interrupted) throw error;
  }
}

/** The longest name that a batch can have; a file's may be longer. */
const MOST_NAME_CHARACTERS = 200;

function nameOf(name: string): string {
  return Array.from(name).slice(0, MOST_NAME_CHARACTERS).join("");
}

async function upload(
  { api }: Connection,
  { path, name, sha256 }: Job["input"],
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData();
  form.set("file", await systemFiles.blob(path), name);
  const file = await api.call<{ id: string; sha256: string }>("/files", {
    method: "POST",
    body: form,
    signal,
  });
  if (file.sha256 === sha256) return file.id;
  await api.call(`/files/${file.id}`, { method: "DELETE" });
  throw usageError(`${name} was changed while it was read; try again`);
}
