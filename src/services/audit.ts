import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { invalid } from "../errors.ts";
import { createLoop } from "../lib/loop.ts";
import * as store from "../store/audit.ts";
import type { Page } from "../store/pages.ts";
import { type Pruned, pruneBefore } from "./retention.ts";

export type AuditEntry = store.AuditEntry;

export type AuditLog = {
  /** Appends an entry; it is stored within `LINGER_MS`. */
  note(entry: Omit<AuditEntry, "id" | "at">): void;
  /** Resolves when all entries are stored. */
  flush(): Promise<void>;
  start(): void;
  /** Stores the remaining entries, and accepts no more. */
  stop(): Promise<void>;
};

/** How long entries wait for each other. A commit for each would double the time of a small request. */
const LINGER_MS = 100;

/** The writer of the audit log. An entry that cannot be stored is logged instead, because its action has happened. */
export function createAuditLog(ctx: Pick<Context, "writer" | "clock">): AuditLog {
  const log = getLogger(["gptrunner", "audit"]);
  let noted: store.NewAuditEntry[] = [];
  const loop = createLoop({
    log,
    complaint: "Actions could not be written to the audit log",
    clock: ctx.clock,
    work: flush,
  });

  async function flush(): Promise<void> {
    const entries = noted;
    noted = [];
    if (entries.length === 0) return;
    try {
      await ctx.writer.write({ entries: store.appendAudit(entries) });
    } catch (error) {
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
      loop.nudge(LINGER_MS);
    },
    flush: loop.look,
    start: loop.start,
    async stop() {
      await loop.look();
      await loop.stop();
    },
  };
}

/** One page of the audit log and how many entries match in all. */
export async function listAudit(ctx: Context, filter: store.AuditFilter, page: Page) {
  return {
    entries: await store.listAudit(ctx.reads.db, filter, page),
    total: await store.countAudit(ctx.reads.db, filter),
  };
}

/** The longest time that a request deletes; it then reports that there is more. */
const LONGEST_TRIM_MS = 5000;

/** Deletes the entries that are older than a time, the oldest first. */
export async function trimAudit(ctx: Context, createdBefore: number): Promise<Pruned> {
  if (createdBefore > ctx.clock.now())
    throw invalid([{ path: "createdBefore", message: "lies in the future" }]);
  await ctx.writer.write({ floor: store.raiseAuditFloor(createdBefore) });
  return pruneBefore(ctx, "audit", createdBefore, LONGEST_TRIM_MS);
}

/** Entries read at a time. */
const EXPORT_PAGE = 500;

/** The entries of a period, the oldest first, page by page as the reader consumes them. */
export async function* exportAudit(
  ctx: Pick<Context, "longReads">,
  filter: Pick<store.AuditFilter, "createdAfter" | "createdBefore">,
): AsyncGenerator<store.AuditEntry[]> {
  let after: [number, number] = [0, 0];
  for (;;) {
    const page = await store.listAudit(ctx.longReads.db, filter, {
      sort: "at",
      order: "asc",
      limit: EXPORT_PAGE,
      offset: 0,
      after,
    });
    const last = page.at(-1);
    if (!last) return;
    yield page;
    after = [last.at, last.id];
  }
}
