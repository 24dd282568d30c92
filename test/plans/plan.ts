import type { Client } from "@libsql/client";

/** Tables that always stay small: one row per process, right, alert, endpoint (at most 1,000), key or migration. */
const SMALL = new Set([
  "nodes",
  "leases",
  "alerts",
  "webhooks",
  "api_keys",
  "rate_windows",
  "stored_bytes",
  "audit_floor",
  "__drizzle_migrations",
]);

/** A step of a query plan that reads or sorts a whole growing table. */
export type Finding = { sql: string; step: string };

/** Finds the steps of query plans whose cost grows with the tables. An empty database is enough for that. */
export async function createPlanReader(client: Client) {
  const { rows } = await client.execute(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  );
  const growing = rows.map((row) => String(row["name"])).filter((name) => !SMALL.has(name));

  return async (sql: string): Promise<Finding[]> => {
    const args = Array.from({ length: sql.split("?").length - 1 }, () => null);
    const plan = await client.execute({ sql: `EXPLAIN QUERY PLAN ${sql}`, args });
    const steps = plan.rows.map((row) => String(row["detail"]));
    const tables = tablesByName(sql, growing);
    return steps
      .filter((step) => isScan(step, tables) || (isSort(step) && tables.size > 0))
      .map((step) => ({ sql: onOneLine(sql), step }));
  };
}

/** The growing tables of a statement, by their aliases in it. */
function tablesByName(sql: string, growing: string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const table of growing) {
    const use = new RegExp(
      `\\b(?:FROM|JOIN|INTO|UPDATE|,)\\s+"?${table}"?(?:\\s+(?:AS\\s+)?"?(\\w+)"?)?`,
      "gi",
    );
    for (const [, alias] of sql.matchAll(use)) {
      names.set(table, table);
      if (alias !== undefined) names.set(alias, table);
    }
  }
  return names;
}

function isScan(step: string, tables: Map<string, string>): boolean {
  const name = /^SCAN (\w+)/.exec(step)?.[1];
  if (step.includes("AUTOMATIC")) return true;
  return name !== undefined && tables.has(name) && !step.includes("VIRTUAL TABLE");
}

function isSort(step: string): boolean {
  return step.startsWith("USE TEMP B-TREE");
}

export function onOneLine(sql: string): string {
  return sql.replaceAll(/\s+/g, " ").trim();
}
