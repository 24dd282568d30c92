/*
 * What follows the last test (`record.ts`): it explains every statement that the program prepared, and finds
 * fault with those that read or sort a growing table whole where `accepted.ts` does not say why they may.
 * After the whole suite it also finds fault with what of `src/store` no test reached, and with what is accepted
 * and does not happen.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { openDatabase } from "../../src/db/client.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { ACCEPTED, REACHED_ELSEWHERE } from "./accepted.ts";
import { createPlanReader, type Finding, onOneLine } from "./plan.ts";
import type { Recorded } from "./record.ts";
import { storeFunctions, storeStatements } from "./store.ts";

const IS_QUERY = /^\s*(select|insert|update|delete|with)\b/i;

/** What is wrong with the plans of what a run recorded, in words; nothing where all is well. */
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
    // Without the checkpoint that `database.close` makes: a statement about no table of ours keeps it locked.
    database.client.close();
    rmSync(folder, { recursive: true });
  }
}

/** Statements about tables that are made by others, such as migrations that were undone for a test. */
function notOurs(error: unknown): Finding[] {
  if (/no such (table|column)/.test(String(error))) return [];
  throw error;
}

/** What `src/store` exports and no test used. */
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
    const exported = (await import(join(process.cwd(), path))) as Record<string, { sql: string }>;
    for (const name of storeStatements(source)) {
      const sql = onOneLine(exported[name]?.sql ?? "");
      if (!prepared.has(sql)) missing.push(`${name} of ${path}`);
    }
  }
  return missing;
}
