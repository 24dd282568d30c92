import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { ResultFormat } from "../domain/result-format.ts";
import { AppError, invalid } from "../errors.ts";
import type { OpenedFile } from "../lib/file-store.ts";
import { logError } from "../lib/logged-error.ts";
import { PathError } from "../lib/paths.ts";
import { StorageError } from "../lib/s3/storage-error.ts";
import { explainWriting } from "../lib/write-whole.ts";
import type { Batch } from "../store/batches.ts";
import { askForOutput, endOutput, findOutput, takeOutput } from "../store/outputs.ts";
import { readRows } from "../store/rows.ts";
import { getBatch } from "./batches.ts";
import { asReading } from "./files.ts";
import { formatOf } from "./output-path.ts";
import { requireSameResults } from "./results-tag.ts";
import { requireRoomFor, streamResults } from "./results.ts";
import { writtenBy } from "./written-by.ts";

/**
 * Writes the output files of ended batches, one after the other, until none is left. If the file system refuses a
 * file, the reason is stored with the batch, whose results stay available. Any other error is thrown, and the file is
 * written again later.
 */
export async function writeOutputs(ctx: Context, node: number): Promise<void> {
  for (;;) {
    if ((await readRows(ctx.client, findOutput(node))).length === 0) return;
    const { next, taken } = await ctx.writer.write({
      next: findOutput(node),
      taken: takeOutput(node, ctx.clock.now()),
    });
    const [row] = taken.rows;
    if (!row) return;
    const batch = await getBatch(ctx, row.id);
    // It was deleted, and another one made under its id.
    if (batch.seq !== row.seq) continue;
    const error = await writeOutput(ctx, batch, next.rows[0]?.isAgain === 1);
    const { ended } = await ctx.writer.write({
      ended: endOutput(batch.seq, node, error, ctx.clock.now()),
    });
    if (ended.changed === 0 && error === null)
      await ctx.writer.write({ asked: askForOutput(batch.seq) });
    ctx.signals.emit("events", undefined);
  }
}

/**
 * Returns why the file could not be written, or `null`. `isAgain`: another process began to write it and was killed,
 * is too slow to renew its lease, or writes the results of an earlier run; its partial file is removed.
 */
async function writeOutput(ctx: Context, batch: Batch, isAgain: boolean): Promise<string | null> {
  const outputFile = batch.outputFile ?? "";
  const format = formatOf(outputFile) ?? "csv";
  try {
    requireRoomFor(batch, { format });
    const name = { path: outputFile };
    const by = writtenBy(ctx, `output ${batch.seq}`);
    if (isAgain) await ctx.fileStore.removeLeft(name, by);
    await ctx.fileStore.write(name, by, resultsOf(ctx, batch, format));
    return null;
  } catch (error) {
    // The caller, which retries, logs it once a minute for all files.
    if (error instanceof StorageError && error.isPassing) throw error;
    if (error instanceof AppError && error.code === "SERVICE_UNAVAILABLE") throw error;
    logError(
      getLogger(["gptrunner", "outputs"]),
      "The output file {outputFile} of batch {batch} could not be written: {error}",
      { outputFile, batch: batch.id, error },
    );
    const why = whyUnwritable(error);
    if (why === undefined) throw error;
    return `${JSON.stringify(outputFile)} could not be written: ${why}`;
  }
}

/** The pieces of the file. Throws at the end if the batch was deleted, or has changed, while they were read. */
async function* resultsOf(ctx: Context, batch: Batch, format: ResultFormat) {
  const safe = batch.config["safeOutput"] === true;
  yield* streamResults(ctx, batch, { format, safe, bom: false });
  await requireSameResults(ctx, batch);
}

/** `undefined` if the error is not about the file. */
function whyUnwritable(error: unknown): string | undefined {
  if (error instanceof PathError) return `it ${error.message}`;
  if (error instanceof AppError || error instanceof StorageError) return error.message;
  return isOfFileSystem(error) ? explainWriting(error) : undefined;
}

function isOfFileSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

/** Opens the output file of a batch. */
export async function openOutput(
  ctx: Context,
  id: string,
): Promise<{ path: string; opened: OpenedFile }> {
  const { outputFile, outputStatus, outputError } = await getBatch(ctx, id);
  const again = `POST /api/v1/batches/${id}/output writes it again`;
  if (outputFile === null)
    throw new AppError(
      "FILE_NOT_FOUND",
      `Batch ${id} was created without an outputFile; GET /api/v1/batches/${id}/results gives its results`,
    );
  if (outputStatus === "failed") throw new AppError("FILE_NOT_FOUND", `${outputError}; ${again}`);
  if (outputStatus !== "written")
    throw new AppError("BATCH_RUNNING", `The output file of batch ${id} has not been written yet`);
  const opened = await asReading(() => ctx.fileStore.open({ path: outputFile })).catch(
    (error: unknown) => {
      if (error instanceof PathError) return undefined;
      throw error;
    },
  );
  if (opened) return { path: outputFile, opened };
  throw new AppError(
    "FILE_NOT_FOUND",
    `The output file ${JSON.stringify(outputFile)} is not among the files of this process (FILES_DIR or FILES_URL); ${again}`,
  );
}

/** Writes the output file of a batch again, for example after the disk has room again. */
export async function rewriteOutput(ctx: Context, id: string): Promise<Batch> {
  const batch = await getBatch(ctx, id);
  const { asked } = await ctx.writer.write({ asked: askForOutput(batch.seq) });
  if (asked.rows.length > 0) {
    ctx.signals.emit("events", undefined);
    return getBatch(ctx, id);
  }
  if (batch.outputFile === null)
    throw invalid([{ path: "outputFile", message: `batch ${id} was created without one` }]);
  throw new AppError("BATCH_RUNNING", `Batch ${id} has not ended, or its output is being written`);
}
