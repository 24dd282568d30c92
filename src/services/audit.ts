import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { Cancel } from "../lib/clock.ts";
import * as store from "../store/audit.ts";

export type AuditEntry = store.AuditEntry;

export type AuditLog = {
  /** Appends an entry; it is stored within `LINGER_MS`. */
  note(entry: Omit<AuditEntry, "id" | "at">): void;
  /** Resolves when all that was noted is stored. */
  flush(): Promise<void>;
};

/** A commit of its own for each would double the time that a small request takes. */
const LINGER_MS = 100;

/** The audit log's pen. An entry that cannot be stored is logged, because what it tells of has happened. */
export function createAuditLog(ctx: Pick<Context, "writer" | "clock">): AuditLog {
  let noted: store.NewAuditEntry[] = [];
  let cancelTimer: Cancel | undefined;

  async function flush(): Promise<void> {
    cancelTimer?.();
    cancelTimer = undefined;
    const entries = noted;
    noted = [];
    if (entries.length === 0) return;
    try {
      await ctx.writer.write(store.appendAudit(entries));
    } catch (error) {
      const log = getLogger(["gptrunner", "audit"]);
      log.error("{count} actions are not in the audit log: {error}", {
        count: entries.length,
        error,
        entries,
      });
    }
  }

  return {
    note(entry) {
      noted.push({ at: ctx.clock.now(), ...entry });
      cancelTimer ??= ctx.clock.setTimeout(() => void flush(), LINGER_MS);
    },
    flush,
  };
}

/** One page of the audit log and how many entries match in all. */
export async function listAudit(ctx: Context, filter: store.AuditFilter, page: store.AuditPage) {
  return {
    entries: await store.listAudit(ctx.db, filter, page),
    total: await store.countAudit(ctx.db, filter),
  };
}
