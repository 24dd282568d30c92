import type { Joined } from "../lib/joined-texts.ts";
import type { CommitOptions } from "./local-client.ts";

/**
 * Messages to the thread that writes: first the path of the database, then one commit after the other. A text of SQL is
 * sent once; `texts` are new ones, numbered from `firstText` on. A group of statements has their numbers; `args` are the
 * arguments of all statements.
 */
export type ToCommitter =
  | { kind: "open"; path: string }
  | {
      kind: "commit";
      firstText: number;
      texts: string[];
      groups: number[][];
      args: Joined;
      options: CommitOptions;
    }
  | { kind: "execute"; sql: string }
  | { kind: "close" };

/** The columns of a result, its rows, and how many rows were changed. */
type PlainResult = readonly [columns: string[], rows: unknown[][], changed: number];

/** Answers, in the order of the messages; `place` is the index of the statement that failed. */
export type FromCommitter =
  | { kind: "done"; results: PlainResult[][] }
  | { kind: "failed"; message: string; code: string; place: number }
  | { kind: "closed" };
