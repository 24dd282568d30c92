import type { Client, ResultSet } from "@libsql/client";

import { type Clock, nextRound } from "../lib/clock.ts";
import type { LocalClient } from "./local-client.ts";
import { culpritOf, fateOf, troubleOf } from "./refusal.ts";
import { sizeOf, toStorable } from "./storable.ts";
import {
  nameResults,
  type Plan,
  type ResultOf,
  type Statement,
  statementsOf,
  type Unit,
} from "./unit.ts";

export type Writer = {
  /**
   * Commits the statements of one unit, in order, all or none, and resolves with their results,
   * under the names that the statements have, once they are durable. Units written in the same turn
   * of the event loop, or while a commit runs, share one transaction in the order of the calls, so
   * that a later unit sees what an earlier one did. Rejects with the database's error, of which
   * `fateOf` says whether the unit may have taken effect. A unit that the database refuses fails
   * alone; the others are committed without it.
   *
   * A unit that `canBeLost` need not be durable when this resolves: should the power fail, nobody misses it. It
   * becomes so with the next unit that is.
   */
  write<U extends Unit>(unit: U, options?: WriteOptions): Promise<ResultOf<U>>;
  /** Commits what is planned, and then changes what is remembered of it. */
  carryOut<U extends Unit>(plan: Plan<U>): Promise<ResultOf<U>>;
  /** Why the last commit failed, unless its content was refused; `null` once one has succeeded. */
  trouble(): string | null;
  /** Resolves when everything written so far is committed or rejected. */
  settled(): Promise<void>;
};

/** More would block the event loop for tens of milliseconds on a local file. */
const MAX_STATEMENTS_PER_COMMIT = 400;
const MAX_BYTES_PER_COMMIT = 8_000_000;

export type WriteOptions = { canBeLost?: boolean };

type Waiting = {
  canBeLost: boolean;
  statements: Statement<unknown>[];
  bytes: number;
  resolve: (results: ResultSet[]) => void;
  reject: (error: unknown) => void;
};

/** A libSQL server decides by itself when it waits for its disk. */
type WrittenClient = Client & Partial<Pick<LocalClient, "batchWithoutSync">>;

/*
 * Group commit. Idle: nothing waits. The first write schedules a commit at the end of the current round of the event
 * loop, so that all requests of the round join it. Draining: groups commit one after the other, and the event loop
 * runs between them, until nothing waits; then idle again.
 */
export function createWriter(client: WrittenClient, clock: Pick<Clock, "setImmediate">): Writer {
  let waiting: Waiting[] = [];
  let trouble: string | null = null;
  let draining: Promise<void> | undefined;

  async function drain(): Promise<void> {
    do {
      await nextRound(clock);
      await commit(client, takeGroup(), (error) => (trouble = error && (troubleOf(error) ?? null)));
    } while (waiting.length > 0);
    draining = undefined;
  }

  function takeGroup(): Waiting[] {
    let [count, size] = [0, 0];
    const end = waiting.findIndex(({ statements, bytes }, i) => {
      count += statements.length;
      size += bytes;
      return i > 0 && (count > MAX_STATEMENTS_PER_COMMIT || size > MAX_BYTES_PER_COMMIT);
    });
    const group = end === -1 ? waiting : waiting.slice(0, end);
    waiting = end === -1 ? [] : waiting.slice(end);
    return group;
  }

  function write<U extends Unit>(
    unit: U,
    { canBeLost = false }: WriteOptions = {},
  ): Promise<ResultOf<U>> {
    return new Promise((resolve, reject) => {
      const statements = statementsOf(unit).map(toStorable);
      waiting.push({
        canBeLost,
        statements,
        bytes: statements.reduce((sum, statement) => sum + sizeOf(statement), 0),
        resolve: (results) => resolve(nameResults(unit, results)),
        reject,
      });
      draining ??= drain();
    });
  }

  return {
    write,
    async carryOut(plan) {
      const results = await write(plan.unit);
      plan.committed(results);
      return results;
    },
    trouble: () => trouble,
    async settled() {
      await draining;
    },
  };
}

/**
 * Commits a group. If the database refuses its content, the group is committed without the unit to blame; if the
 * error does not name that unit, the group is split in halves until it is alone. If the database is unable, the
 * commit is tried once more. If it is unknown what was committed, every caller gets an error that says so.
 */
async function commit(
  client: WrittenClient,
  group: Waiting[],
  report: Report,
  isSecond = false,
): Promise<void> {
  if (group.length === 0) return;
  try {
    const all = group.flatMap(({ statements }) => statements);
    const results = await (client.batchWithoutSync && group.every(({ canBeLost }) => canBeLost)
      ? client.batchWithoutSync(all)
      : client.batch(all, "write"));
    report(null);
    let from = 0;
    for (const { statements, resolve } of group)
      resolve(results.slice(from, (from += statements.length)));
  } catch (error) {
    const fate = fateOf(error);
    if (fate === "unable" && !isSecond) await commit(client, group, report, true);
    else if (fate === "refused" && group.length > 1) await split(client, group, error, report);
    else {
      report(error instanceof Error ? error : new Error(String(error)));
      for (const { reject } of group) reject(error);
    }
  }
}

/** Is called with the outcome of each commit. */
type Report = (error: Error | null) => void;

async function split(
  client: WrittenClient,
  group: Waiting[],
  error: unknown,
  report: Report,
): Promise<void> {
  const culprit = unitAt(group, culpritOf(error));
  if (culprit) {
    culprit.reject(error);
    await commit(
      client,
      group.filter((one) => one !== culprit),
      report,
    );
    return;
  }
  const middle = Math.ceil(group.length / 2);
  await commit(client, group.slice(0, middle), report);
  await commit(client, group.slice(middle), report);
}

/** The unit with the statement at an index of the group. */
function unitAt(group: Waiting[], place: number | undefined): Waiting | undefined {
  if (place === undefined) return undefined;
  let end = 0;
  return group.find(({ statements }) => place < (end += statements.length));
}
