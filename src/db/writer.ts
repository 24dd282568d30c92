import { type Client, type InArgs, LibsqlError, type ResultSet } from "@libsql/client";

import { type Clock, nextRound } from "../lib/clock.ts";

export type Statement = { sql: string; args: InArgs };

export type Writer = {
  /**
   * Commits the statements of one unit, in order, all or none, and resolves with their results
   * once they are durable. Units written in the same turn of the event loop, or while a commit
   * runs, share one transaction in the order of the calls, so that a later unit sees what an
   * earlier one did. Within a unit, a statement may depend on the one before having changed a row
   * with `changes() > 0`. Rejects with the database's error; other units are not affected.
   */
  write(unit: Statement[]): Promise<ResultSet[]>;
  /** Resolves when everything written so far is committed or rejected. */
  settled(): Promise<void>;
};

/** More would hold the event loop for tens of milliseconds on a local file. */
const MAX_STATEMENTS_PER_COMMIT = 400;

type Waiting = {
  unit: Statement[];
  resolve: (results: ResultSet[]) => void;
  reject: (error: unknown) => void;
};

/*
 * Group commit. Idle: nothing waits. The first write arms a turn at the end of the event loop's
 * present round, so that all requests of the round join it. Draining: groups commit one after the
 * other, the loop being free between them, until nothing waits; then idle again.
 */
export function createWriter(client: Client, clock: Pick<Clock, "setImmediate">): Writer {
  let waiting: Waiting[] = [];
  let draining: Promise<void> | undefined;

  async function drain(): Promise<void> {
    do {
      await nextRound(clock);
      await commit(client, takeGroup());
    } while (waiting.length > 0);
    draining = undefined;
  }

  function takeGroup(): Waiting[] {
    let statements = 0;
    const end = waiting.findIndex(({ unit }, i) => {
      statements += unit.length;
      return i > 0 && statements > MAX_STATEMENTS_PER_COMMIT;
    });
    const group = end === -1 ? waiting : waiting.slice(0, end);
    waiting = end === -1 ? [] : waiting.slice(end);
    return group;
  }

  return {
    write(unit) {
      return new Promise((resolve, reject) => {
        waiting.push({ unit, resolve, reject });
        draining ??= drain();
      });
    },
    async settled() {
      await draining;
    },
  };
}

async function commit(client: Client, group: Waiting[]): Promise<void> {
  try {
    const results = await client.batch(
      group.flatMap(({ unit }) => unit),
      "write",
    );
    let from = 0;
    for (const { unit, resolve } of group) resolve(results.slice(from, (from += unit.length)));
  } catch (error) {
    const [only] = group;
    if (group.length === 1 && only) only.reject(error);
    else if (isStatementError(error)) for (const one of group) await commit(client, [one]);
    else for (const { reject } of group) reject(error);
  }
}

/** The database refused a statement, so that nothing was committed. Not so when a connection broke. */
function isStatementError(error: unknown): boolean {
  return error instanceof LibsqlError && error.code.startsWith("SQLITE_");
}
