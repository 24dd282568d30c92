import type { Statement } from "../db/unit.ts";

/*
 * A libSQL server refuses an answer that is too large. So a statement that reads several rows with texts of any
 * length leaves out the long ones, and returns their lengths. They are read afterwards, as many as fit at a time; a
 * text that does not fit at all is read in pieces.
 */

/** SQL for a text, or `NULL` where it has more than `?` bytes. */
export function fits(column: string): string {
  return `iif(octet_length(${column}) <= ?, ${column}, NULL)`;
}

/** SQL for the bytes of a text, which SQLite knows without reading it. */
export function sizeOfText(column: string): string {
  return `octet_length(${column})`;
}

/*
 * A text is read by several statements, and so by a key whose row keeps its text as long as it is there: an execution,
 * or what a claim holds. If the row is gone, so is the text: never is a part of one joined to a part of another, and
 * never is one text taken for another.
 */
const SOURCES = {
  /** The body of a task's request, which may have changed since. */
  body: { column: "i.body", from: "task_inputs i", key: ["i.task"] },
  /** The body of a claimed request. */
  claimedBody: {
    column: "i.body",
    from: "queue q CROSS JOIN task_inputs i ON i.task = q.task",
    key: ["q.task", "+q.owner", "+q.claim"],
  },
  /** The answer that the next call of a claimed run is to repair. */
  repair: { column: "q.repair", from: "queue q", key: ["q.task", "+q.owner", "+q.claim"] },
  /** The answer of an execution. */
  answer: { column: "e.response", from: "executions e", key: ["e.task", "e.run"] },
} as const;
export type TextName = keyof typeof SOURCES;

/** The values of a source's key. */
export type TextKey = readonly number[];

/** A text and the index of its key. `null` if the row has none. */
export type KeyedText = { at: number; text: string | null };

/** The texts of these keys; no row for a key without one. */
export function readTexts(name: TextName, keys: readonly TextKey[]): Statement<KeyedText> {
  const { column, from, key } = SOURCES[name];
  const isKey = key.map((part, i) => `${part} = j.value ->> ${i}`).join(" AND ");
  return {
    sql: `SELECT j.key AS at, ${column} AS text FROM json_each(?) j CROSS JOIN ${from} WHERE ${isKey}`,
    args: [JSON.stringify(keys)],
  };
}

/** `length` characters of a text from the index `from` on, counted from 0. */
export function readPiece(
  name: TextName,
  values: TextKey,
  from: number,
  length: number,
): Statement<{ piece: string | null }> {
  const { column, from: source, key } = SOURCES[name];
  const isKey = key.map((part) => `${part} = ?`).join(" AND ");
  return {
    sql: `SELECT substr(${column}, ?, ?) AS piece FROM ${source} WHERE ${isKey}`,
    args: [from + 1, length, ...values],
  };
}
