import type { Client } from "@libsql/client";

import { rowsOf, type Statement } from "../db/unit.ts";

/** The rows that a statement reads. */
export async function readRows<Row>(
  client: Pick<Client, "execute">,
  statement: Statement<Row>,
): Promise<Row[]> {
  return rowsOf(await client.execute(statement));
}
