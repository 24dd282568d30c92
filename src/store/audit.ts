import { and, count, eq, gte, lt, type SQL } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type AuditEntry, auditLog } from "../db/schema/audit.ts";
import type { Statement } from "../db/unit.ts";
import { keyset, type Page } from "./pages.ts";
import { overValues } from "./values.ts";

export type { AuditEntry };

export type NewAuditEntry = Omit<AuditEntry, "id">;

/** Every task that is created over HTTP adds an entry, so this statement is on the hot path. */
export function appendAudit(entries: NewAuditEntry[]): Statement[] {
  return overValues(
    entries,
    (entry) => [
      entry.at,
      entry.keyId,
      entry.action,
      entry.target,
      entry.requestId,
      entry.address,
      entry.options,
    ],
    (values) =>
      `INSERT INTO audit_log (at, key_id, action, target, request_id, address, options)
       SELECT * FROM ${values}`,
    {},
  );
}

/** Permits the deletion of entries that are older than `before`. */
export function raiseAuditFloor(before: number): Statement {
  return { sql: "UPDATE audit_floor SET before = max(before, ?)", args: [before] };
}

export type AuditFilter = {
  keyId?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
};

/** One page of the log, by time. */
export function listAudit(db: Db, filter: AuditFilter, page: Page): Promise<AuditEntry[]> {
  const { isAfter, inOrder } = keyset(page, auditLog.at, auditLog.id);
  return db
    .select()
    .from(auditLog)
    .where(and(...conditions(filter), isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countAudit(db: Db, filter: AuditFilter): Promise<number> {
  const row = await db
    .select({ n: count() })
    .from(auditLog)
    .where(and(...conditions(filter)))
    .get();
  return row?.n ?? 0;
}

function conditions(filter: AuditFilter): (SQL | undefined)[] {
  const { keyId, action, target, createdAfter, createdBefore } = filter;
  return [
    keyId === undefined ? undefined : eq(auditLog.keyId, keyId),
    action === undefined ? undefined : eq(auditLog.action, action),
    target === undefined ? undefined : eq(auditLog.target, target),
    createdAfter === undefined ? undefined : gte(auditLog.at, createdAfter),
    createdBefore === undefined ? undefined : lt(auditLog.at, createdBefore),
  ];
}
