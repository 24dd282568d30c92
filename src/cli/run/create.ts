import { systemFiles } from "../../lib/file-system.ts";
import { type Batch, type CreatedBatch, failedWith } from "../client.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT, usageError } from "../failure.ts";
import type { Job, Note } from "./find.ts";
import { getBatch } from "./follow.ts";

type Created = { batch: Batch; reused: number };

/** Sends the file and makes a batch of it. Where another run was quicker, its batch is taken. */
export async function createRun(
  connection: Connection,
  { input, config, isSimulated }: Job,
  { id, baseBatch, signal }: { id: string; baseBatch: string | undefined; signal: AbortSignal },
): Promise<Created> {
  const { api } = connection;
  const file = await upload(connection, input, signal);
  const note: Note = { source: input.source };
  try {
    const { reused = 0 } = await api.call<CreatedBatch>("/batches", {
      method: "POST",
      body: {
        id,
        name: nameOf(input.name),
        inputFile: file,
        // Runs of one file with other questions must not quarrel over its ids.
        scopedIds: true,
        config,
        metadata: { gptrunner: note },
        ...(baseBatch === undefined || isSimulated ? {} : { baseBatch }),
      },
      signal,
      isRepeatable: true,
    });
    return { batch: await getBatch(connection, id), reused };
  } catch (error) {
    // It may be there because the answer to a first request was lost.
    if (failedWith(error, "BATCH_ALREADY_EXISTS"))
      return { batch: await getBatch(connection, id), reused: 0 };
    throw error;
  } finally {
    // The batch keeps what it has read.
    await api
      .call(`/files/${file}`, { method: "DELETE" })
      .catch((error: unknown) => requireCliError(error));
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

/** An upload that stays is removed by retention, or by hand: no reason to fail what has succeeded. */
function requireCliError(error: unknown): void {
  if (!(error instanceof CliError) || error.exit === EXIT.interrupted) throw error;
}
