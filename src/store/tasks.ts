import { and, count, eq, gt, isNotNull, lt, ne, type SQL, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Batch, batches } from "../db/schema/batches.ts";
import { type Execution, executions } from "../db/schema/executions.ts";
import { queue, type QueueRow } from "../db/schema/queue.ts";
import { type Task, type TaskInput, taskInputs, tasks } from "../db/schema/tasks.ts";
import type { Statement } from "../db/unit.ts";
import type { TaskStatus } from "../domain/task.ts";
import { keyset, type Page } from "./pages.ts";
import { prepareOnce } from "./prepared.ts";

/** A task with its current status: its row, and the state of its row in the queue. */
export type LiveTask = Omit<Task, "status"> & { status: TaskStatus };

type Place = Pick<QueueRow, "owner" | "startedAt" | "attempt">;

export function toLive(task: Task, queued: Place | null): LiveTask {
  if (!queued) return task;
  const { owner, startedAt, attempt } = queued;
  const status = owner === null ? "pending" : "running";
  return { ...task, status, startedAt, attempts: attempt, completedAt: null };
}

/** Everything about one task that an answer may show. */
export type TaskRecord = {
  task: LiveTask;
  batchId: string;
  batchStatus: Batch["status"];
  batchStartedAt: number | null;
  input: TaskInput;
  queued: QueueRow | null;
  execution: Execution | null;
};

export async function findTask(db: Db, id: string): Promise<TaskRecord | undefined> {
  const record = await prepareOnce(db, "findTask", () =>
    db
      .select({
        task: tasks,
        batchId: batches.id,
        batchStatus: batches.status,
        batchStartedAt: batches.startedAt,
        input: taskInputs,
        queued: queue,
        execution: executions,
      })
      .from(tasks)
      .innerJoin(batches, eq(batches.seq, tasks.batch))
      .innerJoin(taskInputs, eq(taskInputs.task, tasks.seq))
      .leftJoin(queue, eq(queue.task, tasks.seq))
      .leftJoin(executions, and(eq(executions.task, tasks.seq), eq(executions.run, tasks.run)))
      .where(and(eq(tasks.id, sql.placeholder("id")), ne(batches.status, "ingesting")))
      .prepare(),
  ).get({ id });
  return record && { ...record, task: toLive(record.task, record.queued) };
}

/** The tasks among these that have not ended. */
export function findOpenTasks(tasks: readonly number[]): Statement<{ seq: number }> {
  return {
    sql: `SELECT t.seq FROM json_each(?) r CROSS JOIN tasks t ON t.seq = r.value
          WHERE t.status = 'pending'`,
    args: [JSON.stringify(tasks)],
  };
}

export type TaskFilter = {
  status?: TaskStatus | undefined;
  batch?: number | undefined;
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
};

export type TaskPage = Page<"createdAt" | "id">;

export type TaskSummary = { task: LiveTask; batchId: string; sortValue: number | string };

/** One page of tasks. Inside a batch the order is that of its input, which is that of creation. */
export async function listTasks(
  db: Db,
  filter: TaskFilter,
  page: TaskPage,
): Promise<TaskSummary[]> {
  const column =
    page.sort === "id" ? tasks.id : filter.batch === undefined ? tasks.createdAt : tasks.position;
  const { isAfter, inOrder } = keyset(page, column, tasks.seq);
  const rows = await db
    .select({
      task: tasks,
      batchId: batches.id,
      queued: { owner: queue.owner, startedAt: queue.startedAt, attempt: queue.attempt },
    })
    .from(tasks)
    .innerJoin(batches, eq(batches.seq, tasks.batch))
    .leftJoin(queue, eq(queue.task, tasks.seq))
    .where(
      and(
        ...filterConditions(filter),
        ne(batches.status, "ingesting"),
        // All tasks of a batch have a position. Saying so lets SQLite use the partial index.
        column === tasks.position ? isNotNull(tasks.position) : undefined,
        isAfter,
      ),
    )
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
  const sortValue = ({ id, createdAt, position }: Task) =>
    page.sort === "id" ? id : filter.batch === undefined ? createdAt : (position ?? 0);
  return rows.map(({ task, batchId, queued }) => ({
    task: toLive(task, queued),
    batchId,
    sortValue: sortValue(task),
  }));
}

/** How many tasks match: from the batches' counters if they suffice, otherwise counted in an index. */
export async function countTasks(db: Db, filter: TaskFilter): Promise<number> {
  const { status, batch, createdAfter, createdBefore } = filter;
  if (createdAfter === undefined && createdBefore === undefined) {
    const counter =
      status === undefined ? batches.total : status === "pending" ? PENDING : batches[status];
    const row = await db
      .select({ n: sql<number>`coalesce(sum(${counter}), 0)` })
      .from(batches)
      .where(
        and(
          batch === undefined ? undefined : eq(batches.seq, batch),
          ne(batches.status, "ingesting"),
        ),
      )
      .get();
    return row?.n ?? 0;
  }
  const row = await db
    .select({ n: count() })
    .from(tasks)
    .where(and(...filterConditions(filter)))
    .get();
  return row?.n ?? 0;
}

const PENDING = sql`${batches.total} - ${batches.completed} - ${batches.failed} - ${batches.cancelled} - ${batches.running}`;

/** A condition on tasks of this status. Few tasks run at a time, so reading the queue is cheap. */
export function hasStatus(status: TaskStatus): SQL | undefined {
  const claimed = sql`(SELECT ${queue.task} FROM ${queue} WHERE ${queue.owner} IS NOT NULL)`;
  if (status === "running") return sql`${tasks.seq} IN ${claimed}`;
  if (status === "pending")
    return and(eq(tasks.status, status), sql`${tasks.seq} NOT IN ${claimed}`);
  return eq(tasks.status, status);
}

function filterConditions({
  status,
  batch,
  createdAfter,
  createdBefore,
}: TaskFilter): (SQL | undefined)[] {
  return [
    status === undefined ? undefined : hasStatus(status),
    batch === undefined ? undefined : eq(tasks.batch, batch),
    createdAfter === undefined ? undefined : gt(tasks.createdAt, createdAfter),
    createdBefore === undefined ? undefined : lt(tasks.createdAt, createdBefore),
  ];
}
