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
   * A unit that `canBeLost` need not be durable when this resolves, because nobody would miss it after a power
   * failure. It becomes durable with the next unit that must be.
   */
  write<U extends Unit>(unit: U, options?: WriteOptions): Promise<ResultOf<U>>;
  /** Commits the unit of a plan, and then applies the plan's changes in memory. */
  carryOut<U extends Unit>(plan: Plan<U>): Promise<ResultOf<U>>;
  /** Runs SQL that cannot be part of a unit, such as a pragma that vacuums, between two commits. */
  maintain(sql: string): Promise<void>;
  /**
   * Why the last commit failed, unless its content was refused, or that the present one takes very long; `null` once one
   * has succeeded.
   */
  trouble(): string | null;
  /** A commit takes so long that further ones should not be waited for: a disk may hang. */
  isSilent(): boolean;
  /** Resolves when everything written so far is committed or rejected. */
  settled(): Promise<void>;
};

/** More would take tens of milliseconds on a local file, for which other units wait. */
const MAX_STATEMENTS_PER_COMMIT = 400;
const MAX_BYTES_PER_COMMIT = 8_000_000;
/** A commit that takes longer is reported. */
const SILENT_MS = 10_000;
/** On a local file, units that would begin after this time wait for the next commit: a statement may change a thousand rows. */
const MAX_MS_PER_COMMIT = 8;

/**
 * A transaction on a local file can end between two units. A libSQL server decides by itself when it syncs its disk, and
 * commits all or nothing.
 */
export type Committer = Pick<Client, "executeMultiple"> &
  (Pick<LocalClient, "commitSome"> | Pick<Client, "batch">);

type WriterClock = Pick<Clock, "setImmediate" | "monotonic">;

export type WriteOptions = { canBeLost?: boolean };

type Waiting = {
  canBeLost: boolean;
  statements: Statement<unknown>[];
  bytes: number;
  resolve: (results: ResultSet[]) => void;
  reject: (error: unknown) => void;
};

/*
 * Group commit. Idle: nothing waits. The first write schedules a commit at the end of the current round of the event
 * loop, so that all requests of the round join it. Draining: groups commit one after the other, and the event loop
 * runs between them, until nothing waits; then idle again.
 */
export function createWriter(client: Committer, clock: WriterClock): Writer {
  let waiting: Waiting[] = [];
  let trouble: string | null = null;
  let draining: Promise<void> | undefined;
  let committingSince: number | undefined;

  const isSilent = () =>
    committingSince !== undefined && clock.monotonic() - committingSince > SILENT_MS;

  async function drain(): Promise<void> {
    do {
      await nextRound(clock);
      const report = (error: Error | null) => (trouble = error && (troubleOf(error) ?? null));
      committingSince = clock.monotonic();
      const left = await commit({ client, clock, report }, takeGroup());
      committingSince = undefined;
      waiting.unshift(...left);
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
    maintain: (sql) => client.executeMultiple(sql),
    trouble: () => (isSilent() ? "The database does not answer" : trouble),
    isSilent,
    async settled() {
      await draining;
    },
  };
}

/** The dependencies of commits. `report` is called with the outcome of each commit. */
type Means = { client: Committer; clock: WriterClock; report: (error: Error | null) => void };

/**
 * Commits a group, or the first units of it, and returns the others. If the database refuses its content, the group is
 * committed without the unit to blame; if the error does not name that unit, the group is split in halves until it is
 * alone. If the database is unavailable, the commit is tried once more. If it is unknown what was committed, every caller
 * gets an error that says so.
 */
async function commit(means: Means, group: Waiting[], isSecond = false): Promise<Waiting[]> {
  if (group.length === 0) return [];
  try {
    const results = await send(means, group);
    means.report(null);
    for (const [i, ofUnit] of results.entries()) group[i]?.resolve(ofUnit);
    return group.slice(results.length);
  } catch (error) {
    const fate = fateOf(error);
    if (fate === "unable" && !isSecond) return commit(means, group, true);
    if (fate === "refused" && group.length > 1) return split(means, group, error);
    means.report(error instanceof Error ? error : new Error(String(error)));
    for (const { reject } of group) reject(error);
    return [];
  }
}

/** The results of the units that were committed, which are the first ones. */
async function send({ client, clock }: Means, group: Waiting[]): Promise<ResultSet[][]> {
  const units = group.map(({ statements }) => statements);
  if ("commitSome" in client) {
    const begun = clock.monotonic();
    const some = await client.commitSome(units, {
      mostMs: MAX_MS_PER_COMMIT,
      canBeLost: group.every(({ canBeLost }) => canBeLost),
    });
    // Without a thread for commits, the callers' next work must not extend the time that the event loop is blocked.
    if (clock.monotonic() - begun >= MAX_MS_PER_COMMIT) await nextRound(clock);
    return some;
  }
  const results = await client.batch(units.flat(), "write");
  let from = 0;
  return units.map(({ length }) => results.slice(from, (from += length)));
}

async function split(means: Means, group: Waiting[], error: unknown): Promise<Waiting[]> {
  const culprit = unitAt(group, culpritOf(error));
  if (culprit) {
    culprit.reject(error);
    return commit(
      means,
      group.filter((one) => one !== culprit),
    );
  }
  const middle = Math.ceil(group.length / 2);
  const left = await commit(means, group.slice(0, middle));
  // Units left over from the first half come before the second half.
  if (left.length > 0) return [...left, ...group.slice(middle)];
  return commit(means, group.slice(middle));
}

/** The unit with the statement at an index of the group. */
function unitAt(group: Waiting[], place: number | undefined): Waiting | undefined {
  if (place === undefined) return undefined;
  let end = 0;
  return group.find(({ statements }) => place < (end += statements.length));
}
