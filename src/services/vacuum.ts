import type { Context } from "../context.ts";
import { nextRound } from "../lib/clock.ts";
import { createStep } from "../lib/step.ts";
import { FREE_PAGES } from "../store/free-pages.ts";
import { readRows } from "../store/rows.ts";

/** Pages that stay free for what is written next: 8 MB. */
const SPARE_PAGES = 2000;
const MOST_PAGES = 200;
const TARGET_MS = 10;
/** It stops after this, so that the process can stop; there is more then. */
const LONGEST_MS = 1000;

/**
 * Gives pages of a local file that hold nothing any more back to the file system, a few at a time. Returns
 * whether there are more. A file that was made without `auto_vacuum` keeps its size.
 */
export async function shrinkFile(ctx: Context): Promise<boolean> {
  if (!ctx.isExclusive) return false;
  const until = ctx.clock.monotonic() + LONGEST_MS;
  const step = createStep(ctx.clock, { most: MOST_PAGES, targetMs: TARGET_MS });
  let left = Infinity;
  while (ctx.clock.monotonic() < until) {
    const [found] = await readRows(ctx.client, FREE_PAGES);
    if (!found || found.mode !== 2 || found.free <= SPARE_PAGES || found.free >= left) return false;
    left = found.free;
    await step.time((pages) => ctx.client.executeMultiple(`PRAGMA incremental_vacuum(${pages})`));
    await nextRound(ctx.clock);
  }
  return true;
}
