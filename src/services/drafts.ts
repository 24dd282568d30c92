import type { Context } from "../context.ts";
import { createStep } from "../lib/step.ts";
import { DRAFTS, findDrafts, findLeftDrafts, removeFromDraft } from "../store/left-drafts.ts";
import { readRows } from "../store/rows.ts";
import { ALWAYS, type Which } from "../store/which.ts";

/**
 * How long removing a chunk of a draft may block others. On a shared database most of it is the round trip, which
 * does not depend on the number of rows.
 */
const REMOVAL_MS = { exclusive: 20, shared: 250 };
/** The longest removal in the background, so that the process can stop. */
const LONGEST_REMOVAL_MS = 1000;

/** Removes a draft, a chunk at a time. With `until`, it stops at that time. Returns whether the draft is gone. */
export async function discardDraft(
  ctx: Pick<Context, "writer" | "chunks" | "clock" | "live" | "isExclusive">,
  draft: string,
  until = Infinity,
): Promise<boolean> {
  const targetMs = ctx.isExclusive ? REMOVAL_MS.exclusive : REMOVAL_MS.shared;
  const step = createStep(ctx.clock, { most: ctx.chunks.ingest, targetMs });
  while (ctx.clock.monotonic() < until) {
    const unit = await step.time((size) =>
      ctx.writer.write(removeFromDraft(draft, size, ctx.live.node)),
    );
    if (unit.tasks.changed === 0) return true;
  }
  return false;
}

/**
 * Removes some abandoned drafts, and returns whether there are more. On a local file these are all that this process
 * is not writing. On a shared database they are drafts of dead nodes, and those that were not changed for `silentMs`,
 * for example after a failure. If another process still writes one of them, it no longer owns a draft that it could
 * publish, and stores nothing.
 */
export async function removeLeftDrafts(ctx: Context, silentMs: number): Promise<boolean> {
  const until = ctx.clock.monotonic() + LONGEST_REMOVAL_MS;
  const drafts = await readRows(ctx.client, ctx.isExclusive ? DRAFTS : findLeftDrafts(silentMs));
  for (const { id } of drafts)
    if (isLeft(ctx, id) && !(await discardDraft(ctx, id, until))) return true;
  return false;
}

/**
 * Whether a batch is a draft that this process is not writing: on a local file, that of a killed process. One that it
 * does write may look abandoned after it has stood still.
 */
export function isLeft({ drafts }: Context, id: string): boolean {
  return id.startsWith("~") && !drafts.has(id);
}

/**
 * Removes the drafts of earlier attempts to create a batch, also those that are still being written, if `when` holds.
 */
export async function discardDrafts(
  ctx: Context,
  prefix: string,
  when: Which = ALWAYS,
): Promise<void> {
  for (const { id } of await readRows(ctx.client, findDrafts(prefix, when)))
    await discardDraft(ctx, id);
}

/** Whether there are drafts with this prefix. */
export async function hasDrafts(ctx: Context, prefix: string): Promise<boolean> {
  return (await readRows(ctx.client, findDrafts(prefix))).length > 0;
}
