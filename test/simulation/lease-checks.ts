import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";

type Row = { seq: number; heartbeatAt: number; leaseMs: number };

type Options = {
  /** The database's clock. */
  now(): number;
  /** Whether a node with this number was asked to stop, so that it may leave by itself. */
  mayLeave(seq: number): boolean;
  /** A node has left, or was declared dead. */
  onGone(): void;
  complain(what: string): void;
};

/** Checks that no node is declared dead before the lease that it has stored has lapsed. */
export function createLeaseChecks(
  truth: Client,
  { now, mayLeave, onGone, complain }: Options,
): () => Promise<void> {
  let before: Row[] = [];
  return async () => {
    const rows = rowsOf<Row>(
      await truth.execute(
        "SELECT seq, heartbeat_at AS heartbeatAt, lease_ms AS leaseMs FROM nodes",
      ),
    );
    const gone = before.filter(({ seq }) => !rows.some((row) => row.seq === seq));
    before = rows;
    if (gone.length > 0) onGone();
    for (const { seq, heartbeatAt, leaseMs } of gone) {
      const silentMs = now() - heartbeatAt;
      if (silentMs <= leaseMs && !mayLeave(seq))
        complain(
          `node number ${seq} was declared dead after ${silentMs} ms, and its lease is ${leaseMs} ms`,
        );
    }
  };
}
