import { and, asc, eq, ne } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { batches, executions, queue, taskInputs, tasks } from "../db/schema.ts";

/** The task that executions belong to, with what is needed to read their answers. */
export function findExecutedTask(db: Db, which: { seq: number } | { id: string }) {
  return db
    .select({ seq: tasks.seq, id: tasks.id, endpoint: taskInputs.endpoint, queued: queue })
    .from(tasks)
    .innerJoin(batches, eq(batches.seq, tasks.batch))
    .innerJoin(taskInputs, eq(taskInputs.task, tasks.seq))
    .leftJoin(queue, eq(queue.task, tasks.seq))
    .where(
      and(
        "seq" in which ? eq(tasks.seq, which.seq) : eq(tasks.id, which.id),
        ne(batches.status, "ingesting"),
      ),
    )
    .get();
}

export type ExecutedTask = NonNullable<Awaited<ReturnType<typeof findExecutedTask>>>;

export function listExecutions(db: Db, task: number) {
  return db.select().from(executions).where(eq(executions.task, task)).orderBy(asc(executions.run));
}

export function findExecution(db: Db, task: number, run: number) {
  return db
    .select()
    .from(executions)
    .where(and(eq(executions.task, task), eq(executions.run, run)))
    .get();
}
