import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { StorageError } from "../lib/s3/storage-error.ts";
import { findLoose, forgetLoose, giveUp, type LooseFile } from "../store/loose-files.ts";
import { readRows } from "../store/rows.ts";
import { writtenBy } from "./written-by.ts";

/** Removes the bytes of uploads that have no row and will get none. */
export async function removeLooseFiles(ctx: Context): Promise<void> {
  let failure: unknown;
  for (const loose of await readRows(ctx.client, findLoose(ctx.live.node))) {
    if (ctx.uploads.has(loose.id)) continue;
    try {
      await removeLoose(ctx, loose);
    } catch (error) {
      // If the store cannot be reached, the next file would only wait, too.
      if (!(error instanceof StorageError) || error.isPassing) throw error;
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
}

/** Removes the bytes of an upload. A failure does not concern the caller, because they are removed later. */
export async function discardUpload(ctx: Context, loose: LooseFile): Promise<void> {
  try {
    await removeLoose(ctx, loose);
  } catch (error) {
    // The sweep reports that once a minute for all files.
    const log = getLogger(["gptrunner", "files"]);
    log.debug("The content of file {id} is removed later: {error}", { id: loose.id, error });
  }
}

async function removeLoose(ctx: Context, loose: LooseFile): Promise<void> {
  const { given } = await ctx.writer.write({ given: giveUp(loose) });
  if (given.changed === 0) return;
  const name = { upload: loose.id };
  // Only an interrupted upload may have left more than the file.
  if (loose.node !== null) await ctx.fileStore.removeLeft(name, writtenBy(ctx, "upload"));
  await ctx.fileStore.remove(name);
  await ctx.writer.write({ gone: forgetLoose(loose.id) });
}
