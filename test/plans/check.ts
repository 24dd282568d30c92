/*
 * Runs after the last test (`record.ts`). It gets the query plan of every statement that the program prepared, and reports
 * those that read or sort a whole growing table without a reason in `accepted.ts`. After the whole suite it also reports
 * functions of `src/store` that no test called, and accepted steps that did not occur.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { openDatabase } from "../../src/db/client.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { ACCEPTED, REACHED_ELSEWHERE } from "./accepted.ts";
import { createPlanReader, type Finding, onOneLine } from "./plan.ts";
import type { Recorded } from "./record.ts";
import { arrowFunctions, storeFunctions, storeStatements } from "./store.ts";

const IS_QUERY = /^\s*(select|insert|update|delete|with)\b/i;

/** The problems of the recorded query plans, in words. Empty if there are none. */
export async function checkPlans(
  { statements, reached }: Recorded,
  isWholeSuite: boolean,
): Promise<string[]> {
  const findings = await explain([...statements].filter((sql) => IS_QUERY.test(sql)));
  return [
    ...findings
      .filter((finding) => !ACCEPTED.some((accepted) => isMeant(accepted, finding)))
      .map(({ sql, step }) => `${step}\n    in ${sql}`),
    ...(isWholeSuite
      ? [
          ...(await unreached(reached, statements)).map((name) => `no test reaches ${name}`),
          ...ACCEPTED.filter(
            (accepted) => !findings.some((finding) => isMeant(accepted, finding)),
          ).map(
            ({ sql, step }) =>
              `accepted.ts names what no statement does: ${step} in ${String(sql)}`,
          ),
        ]
      : []),
  ];
}

function isMeant(accepted: (typeof ACCEPTED)[number], { sql, step }: Finding): boolean {
  const { sql: part } = accepted;
  const isOfPart = typeof part === "string" ? sql.includes(part) : part.test(sql);
  return step.startsWith(accepted.step) && isOfPart;
}

async function explain(statements: string[]): Promise<Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), "plans-"));
  const database = await openDatabase(`file:${join(folder, "plans.db")}`, createSystemClock());
  try {
    const planOf = await createPlanReader(database.client);
    const found = new Map<string, Finding>();
    for (const sql of statements)
      for (const finding of await planOf(sql).catch(notOurs))
        found.set(`${finding.step} ${finding.sql}`, finding);
    return [...found.values()];
  } finally {
    // Not `database.close`, whose checkpoint would fail: a prepared statement keeps the database locked.
    database.client.close();
    rmSync(folder, { recursive: true });
  }
}

/** Statements about tables of tests, for example of migrations that a test has undone. */
function notOurs(error: unknown): Finding[] {
  if (/no such (table|column)/.test(String(error))) return [];
  throw error;
}

/** Exports of `src/store` that no test used. */
async function unreached(
  reached: Recorded["reached"],
  statements: Recorded["statements"],
): Promise<string[]> {
  const prepared = new Set([...statements].map(onOneLine));
  const missing: string[] = [];
  for await (const path of new Bun.Glob("src/store/*.ts").scan()) {
    const source = await Bun.file(path).text();
    const module = basename(path, ".ts");
    for (const name of storeFunctions(source))
      if (!reached.has(`${module}.${name}`) && !(`${module}.${name}` in REACHED_ELSEWHERE))
        missing.push(`${name} of ${path}`);
    for (const name of arrowFunctions(source))
      missing.push(
        `${name} of ${path}, which is no function declaration, so that its calls are not recorded`,
      );
    const exported = (await import(join(process.cwd(), path))) as Record<string, { sql: string }>;
    for (const name of storeStatements(source)) {
      const sql = onOneLine(exported[name]?.sql ?? "");
      if (!prepared.has(sql)) missing.push(`${name} of ${path}`);
    }
  }
  return missing;
}
