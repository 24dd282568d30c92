import type { Client } from "@libsql/client";

import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { readRows } from "./rows.ts";

/** What a process reports about itself. */
export type NodeFacts = {
  isRunner: boolean;
  keys: readonly string[];
  /** The id of the store that its files are in. */
  filesId: string | null;
  /** The silence after which others may declare it dead. */
  leaseMs: number;
};

const SILENT_MS = `max(0, ${DATABASE_NOW} - heartbeat_at)`;

/*
 * Nodes may have unequal leases, so each is judged by the one in its row. The statements below take the lease of the
 * judging process as an argument: it counts for rows of a version that did not store leases.
 */
const LEASE_MS = "coalesce(lease_ms, ?)";

/** A row of `nodes`, and the database's time when it was written. */
export type Joined = { seq: number; startedAt: number; now: number };

const RETURNING = "RETURNING seq, started_at AS startedAt, heartbeat_at AS now";

/** Adds a node. Returns its number, which no other node ever had. */
export function addNode({ isRunner, keys, filesId, leaseMs }: NodeFacts): Statement<Joined> {
  return {
    sql: `INSERT INTO nodes (started_at, heartbeat_at, is_runner, keys, files_id, lease_ms)
          VALUES (${DATABASE_NOW}, ${DATABASE_NOW}, ?, ?, ?, ?) ${RETURNING}`,
    args: [isRunner, JSON.stringify(keys), filesId, leaseMs],
  };
}

/**
 * Renews the node's lease, also if other nodes had declared it dead. Then its row is a new one, which `startedAt` shows,
 * also to a later heartbeat if the answer to this one is lost.
 */
export function heartbeat(
  node: number,
  { isRunner, keys, filesId, leaseMs }: NodeFacts,
): Statement<Joined> {
  return {
    sql: `INSERT INTO nodes (seq, started_at, heartbeat_at, is_runner, keys, files_id, lease_ms)
          VALUES (?, ${DATABASE_NOW}, ${DATABASE_NOW}, ?, ?, ?, ?)
          ON CONFLICT (seq) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, files_id = excluded.files_id,
            lease_ms = excluded.lease_ms
          ${RETURNING}`,
    args: [node, isRunner, JSON.stringify(keys), filesId, leaseMs],
  };
}

/**
 * Forgets nodes that have been silent for longer than their lease and that of this process, whose heartbeats must have
 * arrived without a gap for as long. A process with the longer lease writes too seldom to notice a short outage of the
 * database, in which a node with a shorter one could not write either. The silence ends with the last heartbeat of this
 * process, so that a jump of the database's clock since then has no effect.
 */
export function forgetSilentNodes(
  node: number,
  own: { leaseMs: number; heardForMs: number },
): Statement {
  return {
    sql: `DELETE FROM nodes WHERE ${LEASE_MS} <= ?
            AND (SELECT own.heartbeat_at FROM nodes own WHERE own.seq = ?) - heartbeat_at > max(${LEASE_MS}, ?)`,
    args: [own.leaseMs, own.heardForMs, node, own.leaseMs, own.leaseMs],
  };
}

export function forgetNode(node: number): Statement {
  return { sql: `DELETE FROM nodes WHERE seq = ?`, args: [node] };
}

export const forgetAllNodes: Statement = { sql: "DELETE FROM nodes", args: [] };

/** How many processes there are, and how many of them use another file store than this one. */
export function countApart(filesId: string): Statement<{ nodes: number; apart: number }> {
  return {
    sql: "SELECT count(*) AS nodes, count(*) FILTER (WHERE files_id <> ?) AS apart FROM nodes",
    args: [filesId],
  };
}

/** How many processes run tasks. */
export const COUNT_NODES: Statement<{ nodes: number }> = {
  sql: "SELECT count(*) AS nodes FROM nodes WHERE is_runner",
  args: [],
};

/** How many processes have a valid lease. */
export function countLiving(ownLeaseMs: number): Statement<{ nodes: number }> {
  return {
    sql: `SELECT count(*) AS nodes FROM nodes WHERE ${SILENT_MS} <= ${LEASE_MS}`,
    args: [ownLeaseMs],
  };
}

/** A condition on queue rows `q`: their owner is not a living node. */
export const OWNER_IS_GONE = { where: "q.owner NOT IN (SELECT seq FROM nodes)", args: [] };

/** The processes that share the database, with the time since their last heartbeat, and what they run. */
export function listNodes(ownLeaseMs: number): Statement<ListedNode & { leaseMs: number }> {
  return {
    sql: `SELECT seq, started_at AS startedAt, is_runner AS isRunner, ${SILENT_MS} AS silentMs, ${LEASE_MS} AS leaseMs,
                 (SELECT count(*) FROM queue WHERE owner = nodes.seq) AS running
          FROM nodes ORDER BY seq`,
    args: [ownLeaseMs],
  };
}

export type ListedNode = {
  seq: number;
  startedAt: number;
  isRunner: number;
  silentMs: number;
  running: number;
};

const CLOCK: Statement<{ now: number }> = { sql: `SELECT ${DATABASE_NOW} AS now`, args: [] };

/** The database's clock in Unix ms. */
export async function databaseNow(client: Pick<Client, "execute">): Promise<number> {
  const [row] = await readRows(client, CLOCK);
  return Number(row?.now);
}
