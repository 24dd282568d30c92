import type { Context } from "../context.ts";
import { createStep } from "../lib/step.ts";
import { DRAFTS, findDrafts, findLeftDrafts, removeFromDraft } from "../store/left-drafts.ts";
import { readRows } from "../store/rows.ts";

/**
 * Longer nobody waits for a chunk of a draft to be removed. On a shared database most of that is the way
 * there and back, which is as long for few rows as for many.
 */
const REMOVAL_MS = { exclusive: 20, shared: 250 };
/** What removes drafts beside the work looks about so often, so that the process can stop. */
const LONGEST_REMOVAL_MS = 1000;

/** Removes a draft, a chunk at a time. With `until`, it stops then; returns whether the draft is gone. */
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
 * Removes some of what was left of batches that were being written, and returns whether there is more. On a
 * local file those are all that this process does not write. On a shared database they are drafts of
 * nodes that are gone, and those that nobody has written to, or removed from, for `silentMs`, as where
 * that failed. Should their writer go on all the same, it finds no draft of its own to give a name to, and
 * stores nothing.
 */
export async function removeLeftDrafts(ctx: Context, silentMs: number): Promise<boolean> {
  const until = ctx.clock.monotonic() + LONGEST_REMOVAL_MS;
  const drafts = await readRows(ctx.client, ctx.isExclusive ? DRAFTS : findLeftDrafts(silentMs));
  for (const { id } of drafts)
    if (isLeft(ctx, id) && !(await discardDraft(ctx, id, until))) return true;
  return false;
}

/** Whether a batch is a draft that a process which was killed has left, as far as that is known at once. */
export function isLeft({ isExclusive, drafts }: Context, id: string): boolean {
  return id.startsWith("~") && (!isExclusive || !drafts.has(id));
}

/** Removes what earlier attempts to create a batch have left, or are still writing. */
export async function discardDrafts(ctx: Context, prefix: string): Promise<void> {
  for (const { id } of await readRows(ctx.client, findDrafts(prefix))) await discardDraft(ctx, id);
}

/** Whether somebody writes a batch under such a name, or has left it. */
export async function hasDrafts(ctx: Context, prefix: string): Promise<boolean> {
  return (await readRows(ctx.client, findDrafts(prefix))).length > 0;
}
