import type { Context } from "../context.ts";
import type { TaskStatus } from "../domain/task.ts";
import { type OldTask, oldTasks } from "../store/prune.ts";
import { readRows } from "../store/rows.ts";
import { deleteTask } from "../store/task-moves.ts";
import type { Which } from "../store/which.ts";

/** How many tasks are deleted in one commit: some ten milliseconds. */
const AT_ONCE = 20;
/** The longest time that a request deletes; it then reports that there is more. */
const LONGEST_MS = 5000;

export type Deleted = { deleted: number; isMore: boolean };

/**
 * Deletes the tasks of a status that were created before a time, with everything that belongs to them, the oldest
 * first. Tasks that are running, or have another status meanwhile, stay.
 */
export async function deleteTasksWhere(
  ctx: Context,
  { status, createdBefore }: { status: Exclude<TaskStatus, "running">; createdBefore: number },
): Promise<Deleted> {
  const until = ctx.clock.monotonic() + LONGEST_MS;
  let deleted = 0;
  const when = { where: "tasks.status = ?", args: [status] };
  let after = { at: -1, seq: -1 };
  for (;;) {
    const page = await readRows(
      ctx.longReads.client,
      oldTasks(status, after, createdBefore, AT_ONCE),
    );
    deleted += await deleteTasks(ctx, page, when);
    const last = page.at(-1);
    if (!last || page.length < AT_ONCE) return { deleted, isMore: false };
    after = last;
    if (ctx.clock.monotonic() > until) return { deleted, isMore: true };
  }
}

/** Deletes those of some tasks that do not run and for which `when` still holds. Returns how many. */
export async function deleteTasks(ctx: Context, tasks: OldTask[], when: Which): Promise<number> {
  let gone = 0;
  for (let from = 0; from < tasks.length; from += AT_ONCE) {
    const now = ctx.clock.now();
    const results = await Promise.all(
      tasks
        .slice(from, from + AT_ONCE)
        .map(({ id }) => ctx.writer.write(deleteTask(id, now, when))),
    );
    gone += results.filter(({ deleted }) => deleted.rows.length > 0).length;
  }
  if (gone > 0) ctx.signals.emit("deleted", undefined);
  return gone;
}
