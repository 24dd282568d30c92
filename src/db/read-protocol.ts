import type { InArgs } from "@libsql/client";

/** Messages to a reading thread: first the path of the database, then one statement after the other. */
export type ToReader =
  | { kind: "open"; path: string }
  | { kind: "read"; id: number; sql: string; args: InArgs }
  | { kind: "close" };

export type FromReader =
  | { kind: "rows"; id: number; columns: string[]; rows: unknown[][] }
  | { kind: "failed"; id: number; message: string; code: string }
  | { kind: "closed" };
