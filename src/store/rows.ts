import type { ResultSet } from "@libsql/client";

/** The rows of a statement as plain objects. The caller's SQL names the columns, so its type is what they are. */
export function rowsOf<Row>(result: ResultSet | undefined): Row[] {
  if (!result) return [];
  const { columns, rows } = result;
  return rows.map((row) => {
    const plain: Record<string, unknown> = {};
    for (let i = 0; i < columns.length; i++) plain[columns[i] ?? ""] = row[i];
    return plain as Row;
  });
}
