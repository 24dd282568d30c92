import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDatabase } from "../../src/db/client.ts";
import { CHUNKS } from "../../src/domain/chunks.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { insertRows } from "../../src/store/drafts.ts";
import type { NewRow } from "../../src/store/new-batch.ts";
import { time } from "./support.ts";

/**
 * The seconds that the database alone takes to store `prompts` as rows: the statements of a new batch on a database with
 * all indexes and triggers, without reading, checking or preparing rows. No ingest can be faster.
 */
export async function insertFloor(prompts: Generator<string>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const database = await openDatabase(`file:${join(folder, "floor.db")}`, createSystemClock());
  const batch = { draft: "~floor", apiKey: 1, now: Date.now() };
  await database.client.execute({
    sql: `INSERT INTO batches (id, name, status, config, created_at, updated_at)
          VALUES (?, 'floor', 'ingesting', '{}', 0, 0)`,
    args: [batch.draft],
  });
  let seconds = 0;
  let rows: NewRow[] = [];
  let position = 0;
  const store = async () => {
    const unit = insertRows(batch, rows);
    rows = [];
    seconds += await time(() => database.writer.write(unit, { canBeLost: true }));
  };
  for (const prompt of prompts) {
    rows.push(rowOf(prompt, position++));
    if (rows.length === CHUNKS.ingest) await store();
  }
  await store();
  await database.close();
  rmSync(folder, { recursive: true, force: true });
  return seconds;
}

function rowOf(prompt: string, position: number): NewRow {
  const id = `row-${position}`;
  return {
    id,
    position,
    model: "gpt-4o-mini",
    priority: 1,
    maxRetries: null,
    timeoutMs: null,
    flexMinutes: null,
    maxRepairs: null,
    escalateTo: null,
    endpoint: "/v1/chat/completions",
    body: JSON.stringify({ model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] }),
    cacheKey: null,
    baseTask: null,
    baseRun: null,
    prompt: null,
    metadata: null,
    cells: JSON.stringify([id, prompt, "Paris"]),
    idempotencyKey: null,
    fingerprint: null,
    isSkipped: false,
  };
}
