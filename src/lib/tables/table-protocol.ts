import type { Cell, TableFound, TableSource } from "./table.ts";

/** Messages to the thread that reads tables, one table at a time. */
export type ToTableThread =
  | { kind: "open"; source: TableSource }
  /** The next rows; each is answered once. */
  | { kind: "next" }
  /** Read no further. */
  | { kind: "close" };

export type FromTableThread =
  | { kind: "rows"; rows: Cell[][] }
  | { kind: "end"; found: TableFound }
  /** `isRefusal`: the file is refused. Otherwise it is an error of the system or a bug. */
  | { kind: "failed"; message: string; isRefusal: boolean; code: string | undefined }
  | { kind: "closed" };
