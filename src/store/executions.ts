import { and, asc, eq, ne } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { batches } from "../db/schema/batches.ts";
import { type Execution, executions } from "../db/schema/executions.ts";
import { queue } from "../db/schema/queue.ts";
import { taskInputs, tasks } from "../db/schema/tasks.ts";
import { readInHalves } from "./rows.ts";

/** The task that executions belong to, with what is needed to read their answers. */
export function findExecutedTask(db: Db, which: { seq: number } | { id: string }) {
  return db
    .select({
      seq: tasks.seq,
      id: tasks.id,
      endpoint: taskInputs.endpoint,
      maxRepairs: tasks.maxRepairs,
      queued: queue,
    })
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

/** How many executions are read at a time; a task seldom has more. */
const PAGE = 50;

export async function listExecutions(db: Db, task: number): Promise<Execution[]> {
  const found: Execution[] = [];
  for (;;) {
    const page = await readInHalves(PAGE, (limit, skip) =>
      db
        .select()
        .from(executions)
        .where(eq(executions.task, task))
        .orderBy(asc(executions.run))
        .limit(limit)
        .offset(found.length + skip),
    );
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

export function findExecution(db: Db, task: number, run: number) {
  return db
    .select()
    .from(executions)
    .where(and(eq(executions.task, task), eq(executions.run, run)))
    .get();
}
