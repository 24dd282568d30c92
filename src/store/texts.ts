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

/** The key of a claim: with another owner or number the task was released meanwhile. `+`: by the index of `task` alone. */
const CLAIM = ["q.task", "+q.owner", "+q.claim"];

/*
 * The statements that read one text must read it from the same row, and its text must not change while the row exists.
 * So an answer is named by its execution, and what a run needs by its claim. If the row is gone, there is no text.
 */
const SOURCES = {
  /** The body of a task's request. It may have changed since, so it is only good for an estimate. */
  body: { column: "i.body", from: "task_inputs i", key: ["i.task"] },
  /** The body of a claimed request. */
  claimedBody: {
    column: "i.body",
    from: "queue q CROSS JOIN task_inputs i ON i.task = q.task",
    key: CLAIM,
  },
  /** The answer that the next call of a claimed run is to repair. */
  repair: { column: "q.repair", from: "queue q", key: CLAIM },
  /** The answer of an execution. */
  answer: { column: "e.response", from: "executions e", key: ["e.task", "e.run"] },
};
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
