import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { newId } from "../lib/ids.ts";
import { StorageError } from "../lib/s3/storage-error.ts";
import { StartError } from "../lib/start-error.ts";
import { countApart } from "../store/nodes.ts";
import { readRows } from "../store/rows.ts";
import { writtenBy } from "./written-by.ts";

/*
 * Processes that share a database need the same file store, because any of them may read an upload or return an
 * output file. The store has an id, which each process publishes with its heartbeat. A different id means another
 * folder or bucket.
 */

const log = getLogger(["gptrunner", "files"]);

/** At the start: throws `StartError` if the bucket cannot be used. A bucket that cannot be reached may come back. */
export async function requireFiles(ctx: Context): Promise<void> {
  try {
    await identifyFiles(ctx);
  } catch (error) {
    if (error instanceof StorageError && !error.isPassing)
      throw new StartError(`FILES_URL cannot be used: ${error.message}.`);
    log.warning("The files of this process cannot be reached; other work continues: {error}", {
      error,
    });
  }
}

/** Reads the id of this process's store, and whether it can be reached. */
export async function identifyFiles(ctx: Context): Promise<void> {
  const { live } = ctx;
  // No other process can share a local file's database, so the id is not needed.
  if (ctx.isExclusive && !ctx.config.bucket) return;
  try {
    live.filesId = await ctx.fileStore.identify(newId(ctx, "store"), writtenBy(ctx, "store-id"));
    live.filesTrouble = null;
  } catch (error) {
    live.filesTrouble =
      error instanceof StorageError ? error.message : "the files folder cannot be read or written";
    throw error;
  }
}

/** The problems of this process's file store, and of those of other processes. */
export async function filesReasons({ live, reads }: Context): Promise<string[]> {
  const trouble = live.filesTrouble === null ? [] : [`Files: ${live.filesTrouble}`];
  if (live.filesId === null) return trouble;
  const [row] = await readRows(reads.client, countApart(live.filesId));
  const { apart = 0, nodes = 0 } = row ?? {};
  return apart === 0 ? trouble : [...trouble, explainApart(apart, nodes)];
}

function explainApart(apart: number, nodes: number): string {
  return (
    `${apart} of ${nodes} nodes have other files than this one: uploads, inputs and outputs of one are not found by ` +
    "the others. Set FILES_URL, or give all of them the same folder as FILES_DIR"
  );
}

/** Logs when other processes begin to use another file store than this one, and when they no longer do. */
export function createFilesWatch(ctx: Context): () => Promise<void> {
  let isApart = false;
  return async () => {
    const before = ctx.live.filesId;
    if (before === null) return;
    const [row] = await readRows(ctx.reads.client, countApart(before));
    const { apart = 0, nodes = 0 } = row ?? {};
    if (apart > 0 && !isApart) {
      // On a store without conditional writes the id may have changed, if several processes started together.
      await identifyFiles(ctx);
      if (ctx.live.filesId !== before) return;
    }
    if (apart > 0 !== isApart) {
      isApart = apart > 0;
      if (isApart) log.warning(explainApart(apart, nodes));
      else log.info("All nodes have the same files again");
    }
  };
}
