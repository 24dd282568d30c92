import { and, eq } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { batches } from "../db/schema/batches.ts";
import { idempotencyKeys } from "../db/schema/idempotency.ts";
import { tasks } from "../db/schema/tasks.ts";

/** An idempotency key: two requests of a client with the same key are one. */
export type Idempotency = { apiKey: number; key: string; fingerprint: string };

/** SQL that is true while the key is unused; its arguments are `idempotencyArgs`. Without a key it is always true. */
export const KEY_IS_UNUSED =
  "NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE api_key = ? AND key = ?)";

export function idempotencyArgs(idempotency: Idempotency | null): [number | null, string | null] {
  return idempotency ? [idempotency.apiKey, idempotency.key] : [null, null];
}

/** The earlier use of the key, if any. */
export function findIdempotencyKey(db: Db, apiKey: number, key: string) {
  return db
    .select({
      fingerprint: idempotencyKeys.fingerprint,
      taskId: tasks.id,
      batchId: batches.id,
    })
    .from(idempotencyKeys)
    .leftJoin(tasks, eq(tasks.seq, idempotencyKeys.task))
    .leftJoin(batches, eq(batches.seq, idempotencyKeys.batch))
    .where(and(eq(idempotencyKeys.apiKey, apiKey), eq(idempotencyKeys.key, key)))
    .get();
}
