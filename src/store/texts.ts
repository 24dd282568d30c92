import type { Statement } from "../db/unit.ts";
import { storedAnswer } from "./base-answers.ts";

/*
 * A libSQL server refuses an answer as a whole that is too large. So what reads several rows with texts
 * of any length leaves out the long ones, and says how long they are; they are read afterwards, as
 * many as fit at a time, and one that does not fit at all in pieces.
 */

/** SQL for a text, or `NULL` where it has more than `?` bytes. */
export const fits = (column: string) => `iif(octet_length(${column}) <= ?, ${column}, NULL)`;

/** SQL for the bytes of a text, which SQLite knows without reading it. */
export const sizeOfText = (column: string) => `octet_length(${column})`;

const SOURCES = {
  /** What a task sends. */
  body: { column: "i.body", from: "task_inputs i" },
  /** The stored answer to a request like its. */
  answer: {
    column: "e.response",
    from: `task_inputs i ${storedAnswer()}`,
  },
  /** The answer that its next call is to repair. */
  repair: { column: "i.repair", from: "queue i" },
} as const;
export type TextName = keyof typeof SOURCES;

export type TaskText = { task: number; text: string | null };

/** The texts of some tasks; of those that have none, no row. */
export function readTexts(name: TextName, tasks: readonly number[]): Statement<TaskText> {
  const { column, from } = SOURCES[name];
  return {
    sql: `SELECT i.task, ${column} AS text FROM json_each(?) j CROSS JOIN ${from} WHERE i.task = j.value`,
    args: [JSON.stringify(tasks)],
  };
}

/** `length` characters of a task's text, from the `from`th on, which is 0 for the first. */
export function readPiece(
  name: TextName,
  task: number,
  from: number,
  length: number,
): Statement<{ piece: string | null }> {
  const { column, from: source } = SOURCES[name];
  return {
    sql: `SELECT substr(${column}, ?, ?) AS piece FROM ${source} WHERE i.task = ?`,
    args: [from + 1, length, task],
  };
}
