import type { Context } from "../context.ts";
import { nextRound } from "../lib/clock.ts";
import { createStep } from "../lib/step.ts";
import { FREE_PAGES } from "../store/free-pages.ts";
import { readRows } from "../store/rows.ts";

/** Pages that stay free for the next writes: 8 MB. */
const SPARE_PAGES = 2000;
const MOST_PAGES = 200;
const TARGET_MS = 10;
/** The longest run, so that the process can stop; it then reports that there is more. */
const LONGEST_MS = 1000;

/**
 * Returns free pages of a local file to the file system, a few at a time. Returns whether there are more. A file that
 * was created without `auto_vacuum` keeps its size.
 */
export async function shrinkFile(ctx: Context): Promise<boolean> {
  if (!ctx.isExclusive) return false;
  const until = ctx.clock.monotonic() + LONGEST_MS;
  const step = createStep(ctx.clock, { most: MOST_PAGES, targetMs: TARGET_MS });
  let left = Infinity;
  let isMore = true;
  while (isMore && ctx.clock.monotonic() < until) {
    const [found] = await readRows(ctx.client, FREE_PAGES);
    isMore = found?.mode === 2 && found.free > SPARE_PAGES && found.free < left;
    if (!found || !isMore) break;
    left = found.free;
    await step.time((pages) => ctx.writer.maintain(`PRAGMA incremental_vacuum(${pages})`));
    await nextRound(ctx.clock);
  }
  // The file gets smaller when the write-ahead log is copied into it, which could otherwise wait for later writes.
  if (left < Infinity) await ctx.writer.maintain("PRAGMA wal_checkpoint(PASSIVE)");
  return isMore;
}
