import type { Statement } from "../db/unit.ts";
import type { Which } from "./which.ts";

/** A sum that triggers keep, and its correct value. */
export type WrongSum = { row: number; sum: string; stored: number; counted: number };

type Sum = {
  name: string;
  table: string;
  key: string;
  column: string;
  /** The correct value, as SQL over a row `x` of the table. */
  counted: string;
};

const pending = (more: string) =>
  `(SELECT count(*) FROM webhook_deliveries d WHERE d.webhook = x.seq AND d.status = 'pending'${more})`;

const SUMS: readonly Sum[] = [
  {
    name: "bytes of uploads of API key",
    table: "stored_bytes",
    key: "api_key",
    column: "files",
    counted: "coalesce((SELECT u.bytes FROM uploads u WHERE u.api_key = x.api_key), 0)",
  },
  {
    name: "bytes of requests of API key",
    table: "stored_bytes",
    key: "api_key",
    column: "requests",
    counted: "coalesce((SELECT r.bytes FROM requests r WHERE r.api_key = x.api_key), 0)",
  },
  {
    name: "deliveries that wait of webhook",
    table: "webhooks",
    key: "seq",
    column: "waiting",
    counted: pending(""),
  },
  {
    name: "deliveries that are retried of webhook",
    table: "webhooks",
    key: "seq",
    column: "retrying",
    counted: pending(" AND d.next_at IS NOT NULL"),
  },
  {
    name: "deliveries that are replayed of webhook",
    table: "webhooks",
    key: "seq",
    column: "replaying",
    counted: pending(" AND d.is_replay AND d.next_at IS NULL"),
  },
];

/** The sums that differ from the rows they add up. Reads the sizes of all requests. */
export const WRONG_SUMS: Statement<WrongSum> = {
  sql: `WITH requests AS (
          SELECT t.api_key, sum(octet_length(i.body) + coalesce(octet_length(i.prompt), 0)
            + coalesce(octet_length(i.metadata), 0) + coalesce(octet_length(i.cells), 0)) AS bytes
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq GROUP BY t.api_key),
        uploads AS (SELECT api_key, sum(bytes) AS bytes FROM files GROUP BY api_key)
        SELECT * FROM (${SUMS.map(
          ({ name, table, key, column, counted }) =>
            `SELECT x.${key} AS row, '${name}' AS sum, x.${column} AS stored, ${counted} AS counted FROM ${table} x`,
        ).join("\n        UNION ALL ")})
        WHERE stored <> counted`,
  args: [],
};

/**
 * Adds the difference that was found when a sum was checked. It may be added at any time, but only once; `when` ensures
 * that.
 */
export function repairSum({ row, sum, stored, counted }: WrongSum, when: Which): Statement {
  const found = SUMS.find(({ name }) => name === sum);
  if (!found) throw new Error(`${sum} is not a sum`);
  const { table, key, column } = found;
  return {
    sql: `UPDATE ${table} SET ${column} = ${column} + ? WHERE ${key} = ? AND ${when.where}`,
    args: [counted - stored, row, ...when.args],
  };
}
