import { systemFiles } from "../../lib/file-system.ts";
import { type Batch, type CreatedBatch, failedWith } from "../client.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT, usageError } from "../failure.ts";
import type { Job, Note } from "./find.ts";
import { getBatch } from "./follow.ts";

type Created = { batch: Batch; reused: number };

/** Uploads the file and creates a batch. If another run was faster, uses its batch. */
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
        // Runs of one file with different questions must not conflict over its ids.
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
    // The batch may exist because the answer to a first request was lost.
    if (failedWith(error, "BATCH_ALREADY_EXISTS"))
      return { batch: await getBatch(connection, id), reused: 0 };
    throw error;
  } finally {
    // The batch keeps its rows.
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

/** A remaining upload is no reason to fail the command: it is removed by retention, or by hand. */
function requireCliError(error: unknown): void {
  if (!(error instanceof CliError) || error.exit === EXIT.interrupted) throw error;
}
