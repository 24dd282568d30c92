import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import type { ProviderCall } from "./provider.ts";

type Batch = { seq: number; id: string; limit: number; claimed: number };

const CLAIMED = `
  SELECT seq, id, max_concurrency AS "limit",
         (SELECT count(*) FROM queue WHERE lane = batches.seq AND owner IS NOT NULL) AS claimed
  FROM batches WHERE seq > 0 AND max_concurrency IS NOT NULL AND status <> 'ingesting'`;

/**
 * Checks at every claim and every change of a limit that no batch has more claims over all nodes than its
 * `maxConcurrency`. If the limit was lowered, the batch may keep the claims that it had then.
 */
export function createBatchSlotChecks(truth: Client, complain: (what: string) => void) {
  const known = new Map<number, { limit: number; allowed: number }>();
  return async (): Promise<void> => {
    for (const { seq, id, limit, claimed } of rowsOf<Batch>(await truth.execute(CLAIMED))) {
      const before = known.get(seq);
      const allowed = before?.limit === limit ? before.allowed : Math.max(limit, claimed);
      if (claimed > allowed)
        complain(`batch ${id} may have ${limit} calls under way and has ${claimed}`);
      known.set(seq, { limit, allowed: Math.max(limit, Math.min(allowed, claimed)) });
    }
  };
}

/** Checks that no node has more calls in flight than its `maxConcurrency`. */
export function createNodeSlotChecks(limits: readonly number[], complain: (what: string) => void) {
  const open = new Map<number, ProviderCall[]>();
  return {
    begun(call: ProviderCall): void {
      const others = (open.get(call.node) ?? []).filter(({ endedAt }) => endedAt === null);
      open.set(call.node, [...others, call]);
      const limit = limits[call.node] ?? 0;
      if (others.length >= limit)
        complain(`node ${call.node} may have ${limit} calls under way and has more`);
    },
    /** The node or its thread has died, and its calls with it. */
    lost: (node: number) => void open.delete(node),
  };
}
