import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";

/** The signals that one process publishes to the others, beside the events of the log. */
export const PUBLISHED = [
  "abandoned",
  "batch",
  "deleted",
  "followed",
  "keys",
  "queued",
  "schedules",
  "webhooks",
] as const;
export type Topic = (typeof PUBLISHED)[number];

export type Count = { topic: Topic | "events" | "deltas"; count: number };

/**
 * Counters that grow with each change that other processes should read. For the event log and the pieces of answers
 * they are the newest ids.
 */
export const CHANGES: Statement<Count> = {
  sql: `SELECT topic, count FROM changes
        UNION ALL SELECT 'events', coalesce((SELECT max(id) FROM events), 0)
        UNION ALL SELECT 'deltas', coalesce((SELECT max(id) FROM deltas), 0)`,
  args: [],
};

export function countChanges(topics: readonly Topic[]): Statement<Count> {
  return {
    sql: `INSERT INTO changes (topic, count) SELECT value, 1 FROM json_each(?) WHERE true
          ON CONFLICT (topic) DO UPDATE SET count = count + 1 RETURNING topic, count`,
    args: [JSON.stringify(topics)],
  };
}

/** The tasks whose streamed answers other nodes follow. */
export function followedElsewhere(node: number): Statement<{ task: number }> {
  return { sql: "SELECT DISTINCT task FROM followed WHERE node <> ?", args: [node] };
}

export function follow(node: number, tasks: readonly number[]): Statement {
  return {
    sql: `INSERT INTO followed (task, node) SELECT value, ? FROM json_each(?) WHERE true
          ON CONFLICT DO NOTHING`,
    args: [node, JSON.stringify(tasks)],
  };
}

export function unfollow(node: number, tasks: readonly number[]): Statement {
  return {
    sql: `DELETE FROM followed WHERE node = ? AND task IN (SELECT value FROM json_each(?))`,
    args: [node, JSON.stringify(tasks)],
  };
}

export type Piece = { task: number; offset: number; text: string };

export function addDeltas(node: number, pieces: readonly Piece[]): Statement {
  return {
    sql: `INSERT INTO deltas (node, task, offset, text, at)
          SELECT ?, value ->> 'task', value ->> 'offset', value ->> 'text', ${DATABASE_NOW} FROM json_each(?)`,
    args: [node, JSON.stringify(pieces)],
  };
}

/** Pieces that other nodes have published after an id. */
export function deltasAfter(
  id: number,
  node: number,
  limit: number,
): Statement<Piece & { id: number }> {
  return {
    sql: "SELECT id, task, offset, text FROM deltas WHERE id > ? AND node <> ? ORDER BY id LIMIT ?",
    args: [id, node, limit],
  };
}

/** Removes what dead nodes have followed, and pieces that all nodes have had time to read. */
export function forgetFollowing(keepMs: number): { followed: Statement; deltas: Statement } {
  return {
    followed: {
      sql: "DELETE FROM followed WHERE node NOT IN (SELECT seq FROM nodes)",
      args: [],
    },
    deltas: { sql: `DELETE FROM deltas WHERE at < ${DATABASE_NOW} - ?`, args: [keepMs] },
  };
}
