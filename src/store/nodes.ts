import type { Statement } from "../db/writer.ts";

/** The database's clock in Unix ms: the nodes of a fleet need not agree on the time. */
const DATABASE_NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/** Proves that the node lives. */
export function heartbeat(node: string): Statement {
  return {
    sql: `INSERT INTO nodes (id, started_at, heartbeat_at) VALUES (?, ${DATABASE_NOW}, ${DATABASE_NOW})
          ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at`,
    args: [node],
  };
}

/** Forgets nodes that have been silent for longer than the lease. */
export function forgetSilentNodes(leaseMs: number): Statement {
  return { sql: `DELETE FROM nodes WHERE heartbeat_at < ${DATABASE_NOW} - ?`, args: [leaseMs] };
}

export function forgetNode(node: string): Statement {
  return { sql: `DELETE FROM nodes WHERE id = ?`, args: [node] };
}

/** A condition on queue rows `q`: their owner is no node that lives. */
export const OWNER_IS_GONE = { where: "q.owner NOT IN (SELECT id FROM nodes)", args: [] };
