import { join } from "node:path";

import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { newId } from "../lib/ids.ts";
import { explainWriting, removeTemporary, writeTemporary } from "../lib/write-whole.ts";
import { leastFree } from "./watch.ts";
import { writtenBy } from "./written-by.ts";

/**
 * The largest file. Nothing is sent before it is complete, and more would take longer than clients and proxies wait.
 */
const LARGEST = 1024 * 1024 * 1024;
/** How many files are written at a time. */
const MOST_WRITTEN = 4;
/** How long the file keeps its name: the runtime opens it when the answer begins, and needs no name from then on. */
const KEPT_MS = 1000;

const writing = new WeakMap<Context, number>();

/**
 * Writes the `bytes` bytes of `read` to a temporary file, because the runtime sends the length of a file but not that
 * of a stream. The file is removed when it has been sent, or when `signal` aborts. `undefined` if it is too large,
 * too many others are being written, or the disk has no room; then the caller sends a stream. Throws what reading
 * throws.
 */
export async function writePart(
  ctx: Context,
  read: () => AsyncIterable<Uint8Array>,
  bytes: number,
  signal: AbortSignal,
): Promise<Blob | undefined> {
  const others = writing.get(ctx) ?? 0;
  if (bytes > LARGEST || others >= MOST_WRITTEN) return undefined;
  // Counted before the first await, because other requests may come meanwhile.
  writing.set(ctx, others + 1);
  try {
    return (await hasRoom(ctx, bytes)) ? await write(ctx, read, signal) : undefined;
  } finally {
    writing.set(ctx, (writing.get(ctx) ?? 1) - 1);
  }
}

/** Whether the disk has room for it and stays far from full. */
async function hasRoom({ files, config }: Context, bytes: number): Promise<boolean> {
  const space = await files.space(config.dataDir).catch(() => undefined);
  return space !== undefined && space.free - bytes > 2 * leastFree(space.total);
}

async function write(
  ctx: Context,
  read: () => AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Blob | undefined> {
  const log = getLogger(["gptrunner", "files"]);
  let readFailure: { error: unknown } | undefined;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of read()) {
        signal.throwIfAborted();
        yield piece;
      }
    } catch (error) {
      readFailure = { error };
      throw error;
    }
  }
  try {
    const place = join(ctx.config.dataDir, newId(ctx, "part"));
    const path = await writeTemporary(ctx, place, writtenBy(ctx, "upload"), watched());
    let isThere = true;
    const remove = () => {
      if (isThere) background(log, "Removing a part that was sent", removeTemporary(ctx, path));
      isThere = false;
    };
    signal.addEventListener("abort", remove, { once: true });
    ctx.clock.setTimeout(remove, KEPT_MS);
    return await ctx.files.blob(path);
  } catch (error) {
    if (readFailure) throw readFailure.error;
    log.debug("A part is sent without its length: {why}", { why: explainWriting(error) });
    return undefined;
  }
}
