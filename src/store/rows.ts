import type { ResultSet } from "@libsql/client";

/** The rows of a statement as plain objects. The caller's SQL names the columns, so its type is what they are. */
export function rowsOf<Row>(result: ResultSet | undefined): Row[] {
  return (result?.rows ?? []) as unknown as Row[];
}
