import type { Statement } from "../db/unit.ts";
import { storedAnswer } from "./base-answers.ts";

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

const SOURCES = {
  /** The body of a task's request. */
  body: { column: "i.body", from: "task_inputs i" },
  /** The stored answer to the same request. */
  answer: {
    column: "e.response",
    from: `task_inputs i ${storedAnswer()}`,
  },
  /** The answer that the next call is to repair. */
  repair: { column: "i.repair", from: "queue i" },
} as const;
export type TextName = keyof typeof SOURCES;

export type TaskText = { task: number; text: string | null };

/** The texts of these tasks; no row for a task without one. */
export function readTexts(name: TextName, tasks: readonly number[]): Statement<TaskText> {
  const { column, from } = SOURCES[name];
  return {
    sql: `SELECT i.task, ${column} AS text FROM json_each(?) j CROSS JOIN ${from} WHERE i.task = j.value`,
    args: [JSON.stringify(tasks)],
  };
}

/** `length` characters of a task's text from the index `from` on, counted from 0. */
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
