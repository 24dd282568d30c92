import { and, asc, count, eq, gt, isNotNull, ne, type SQL, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Batch, batches } from "../db/schema/batches.ts";
import { executions } from "../db/schema/executions.ts";
import { queue } from "../db/schema/queue.ts";
import { taskInputs, tasks } from "../db/schema/tasks.ts";
import type { Statement } from "../db/unit.ts";
import { type BatchStatus, SINGLE_TASKS } from "../domain/batch.ts";
import type { TaskStatus } from "../domain/task.ts";
import { contains } from "./contains.ts";
import { keyset, type Page } from "./pages.ts";
import { prepareOnce } from "./prepared.ts";
import { readInHalves } from "./rows.ts";
import { hasStatus, toLive } from "./tasks.ts";

export type { Batch };

/** Batches that clients may see: neither that of the single tasks, nor drafts. */
const VISIBLE = and(gt(batches.seq, SINGLE_TASKS), ne(batches.status, "ingesting"));

export function findBatch(db: Db, id: string): Promise<Batch | undefined> {
  return prepareOnce(db, "findBatch", () =>
    db
      .select()
      .from(batches)
      .where(and(eq(batches.id, sql.placeholder("id")), VISIBLE))
      .prepare(),
  ).get({ id });
}

/** The row number of a batch that clients may see. */
export async function findBatchSeq(db: Db, id: string): Promise<number | undefined> {
  return (await findBatch(db, id))?.seq;
}

/** The batches among these that are running, or start by themselves when they have their rows. */
export function findOpenBatches(seqs: readonly number[]): Statement<{ seq: number }> {
  return {
    sql: `SELECT b.seq FROM json_each(?) r CROSS JOIN batches b ON b.seq = r.value
          WHERE b.status = 'running'
             OR (b.status = 'pending' AND b.chain_status IN ('waiting', 'made') AND b.payer IS NOT NULL)`,
    args: [JSON.stringify(seqs)],
  };
}

/** Which of these batches were made from files. */
export function fileBatches(ids: readonly string[]): Statement<{ id: string }> {
  return {
    sql: `SELECT b.id FROM json_each(?) j CROSS JOIN batches b ON b.id = j.value
          WHERE b.input_file IS NOT NULL`,
    args: [JSON.stringify(ids)],
  };
}

export type BatchFilter = {
  status?: BatchStatus | undefined;
  name?: string | undefined;
  /** Only those that were made from a file. */
  isOfFile?: boolean;
};

export type BatchPage = Page<"createdAt" | "name">;

export function listBatches(db: Db, filter: BatchFilter, page: BatchPage): Promise<Batch[]> {
  const column = page.sort === "name" ? batches.name : batches.createdAt;
  const { isAfter, inOrder } = keyset(page, column, batches.seq);
  return db
    .select()
    .from(batches)
    .where(and(VISIBLE, ...conditions(filter), isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countBatches(db: Db, filter: BatchFilter): Promise<number> {
  const row = await db
    .select({ n: count() })
    .from(batches)
    .where(and(VISIBLE, ...conditions(filter)))
    .get();
  return row?.n ?? 0;
}

function conditions({ status, name, isOfFile = false }: BatchFilter): (SQL | undefined)[] {
  return [
    status === undefined ? undefined : eq(batches.status, status),
    name === undefined ? undefined : contains(batches.name, name),
    isOfFile ? isNotNull(batches.inputFile) : undefined,
  ];
}

export type BatchTaskPage = {
  limit: number;
  /** The position after which the page begins; -1 for the first. */
  after: number;
  offset?: number;
  status?: TaskStatus | undefined;
};

/** Tasks of a batch in input order, with their requests and results. */
export async function listBatchTasks(db: Db, batch: number, page: BatchTaskPage) {
  const { limit, after, offset = 0, status } = page;
  const query = prepareOnce(db, `listBatchTasks/${status}`, () =>
    db
      .select({
        task: tasks,
        input: taskInputs,
        execution: executions,
        queued: { owner: queue.owner, startedAt: queue.startedAt, attempt: queue.attempt },
      })
      .from(tasks)
      .innerJoin(taskInputs, eq(taskInputs.task, tasks.seq))
      .leftJoin(executions, and(eq(executions.task, tasks.seq), eq(executions.run, tasks.run)))
      .leftJoin(queue, eq(queue.task, tasks.seq))
      .where(
        and(
          eq(tasks.batch, sql.placeholder("batch")),
          gt(tasks.position, sql.placeholder("after")),
          status === undefined ? undefined : hasStatus(status),
        ),
      )
      .orderBy(asc(tasks.position))
      .limit(sql.placeholder("limit"))
      .offset(sql.placeholder("offset"))
      .prepare(),
  );
  const rows = await readInHalves(limit, (some, skip) =>
    query.all({ batch, after, limit: some, offset: offset + skip }),
  );
  return rows.map(({ task, input, execution, queued }) => ({
    task: toLive(task, queued),
    input,
    execution,
  }));
}

export type BatchTask = Awaited<ReturnType<typeof listBatchTasks>>[number];
