import { join } from "node:path";

import { drizzle } from "drizzle-orm/libsql";

import { createLocalClient } from "../../src/db/local-client.ts";
import { migrateDatabase } from "../../src/db/migrate.ts";
import { createWriter } from "../../src/db/writer.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { temporaryFolder } from "./process.ts";

export const NOW = Date.UTC(2026, 0, 1);
export const MODEL = "gpt-4o";

/** A new database with one API key, whose row number is 1. There is no server and no engine. */
export async function openStore() {
  const folder = temporaryFolder();
  const client = createLocalClient(join(folder.path, "test.db"), 1000);
  const clock = createSystemClock();
  await migrateDatabase({ client, slowClient: client, clock, holder: undefined });
  await client.execute({
    sql: `INSERT INTO api_keys (id, name, hash, prefix, scopes, origin, created_at)
          VALUES ('key', 'key', 'hash', '', '["write"]', 'api', ?)`,
    args: [NOW],
  });
  return {
    client,
    db: drizzle({ client, casing: "snake_case" }),
    writer: createWriter(client, clock),
    [Symbol.dispose]() {
      client.close();
      folder[Symbol.dispose]();
    },
  };
}

/** A task to insert. A single task is queued on insertion, a task of a batch (`batchId`) is not. */
export function newTask(id: string, batchId: string | null = null) {
  const execute = {
    isDryRun: false,
    priority: null,
    payer: 1,
    trace: null,
    now: NOW,
    steadyNow: NOW,
  };
  const unset = { maxRetries: null, timeoutMs: null, flexMinutes: null } as const;
  const none = { maxRepairs: null, escalateTo: null, cacheKey: null, metadata: null } as const;
  return {
    ...unset,
    ...none,
    id,
    batchId,
    model: MODEL,
    priority: 2,
    apiKey: 1,
    endpoint: "/v1/chat/completions" as const,
    body: "{}",
    prompt: "x",
    idempotency: null,
    trace: null,
    execute: batchId === null ? execute : null,
    now: NOW,
  };
}
