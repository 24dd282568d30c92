import { and, count, eq, gt, isNull, or } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { files, type StoredFile } from "../db/schema/files.ts";
import type { Statement } from "../db/unit.ts";
import { insertWhere } from "./insert-where.ts";
import { keyset, type Page } from "./pages.ts";
import { toSql, type Which } from "./which.ts";

export type { StoredFile };

export type NewFile = Omit<StoredFile, "seq">;

/** Adds the row of a file whose bytes are stored, if a condition holds. */
export function insertFile(file: NewFile, when: Which): Statement {
  return insertWhere(files, file, toSql(when));
}

/** Deletes the row of a file, if a condition on `files` holds. */
export function deleteFile(id: string, when: Which): Statement {
  return toStatement(build.delete(files).where(and(eq(files.id, id), toSql(when))));
}

/** Finds a file that has not expired. An expired one may still be stored until the next sweep. */
export function findFile(db: Db, id: string, now: number): Promise<StoredFile | undefined> {
  const isThere = or(isNull(files.expiresAt), gt(files.expiresAt, now));
  return db
    .select()
    .from(files)
    .where(and(eq(files.id, id), isThere))
    .get();
}

/** The uploads with these ids that exist. */
export function findFiles(ids: readonly string[]): Statement<NamedUpload> {
  return {
    sql: `SELECT f.id, f.name, f.bytes, f.sha256 FROM json_each(?) j CROSS JOIN files f ON f.id = j.value`,
    args: [JSON.stringify(ids)],
  };
}

/** The ids of all uploads. */
export const UPLOAD_IDS: Statement<{ id: string }> = { sql: "SELECT id FROM files", args: [] };

/** The ids among these that are not uploads. */
export function unknownFiles(ids: readonly string[]): Statement<{ id: string }> {
  return {
    sql: `SELECT value AS id FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = value)`,
    args: [JSON.stringify(ids)],
  };
}

/** Files that have expired. */
export function expiredFiles(now: number, limit: number): Statement<{ id: string }> {
  return {
    sql: "SELECT id FROM files WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?",
    args: [now, limit],
  };
}

export type NamedUpload = Pick<StoredFile, "id" | "name" | "bytes" | "sha256">;

/** The next uploads after one. */
export function filesAfter(
  seq: number,
  limit: number,
): Statement<Pick<StoredFile, "seq" | "id" | "name">> {
  return {
    sql: "SELECT seq, id, name FROM files WHERE seq > ? ORDER BY seq LIMIT ?",
    args: [seq, limit],
  };
}

export type FilePage = Page<"createdAt" | "name">;

export function listFiles(db: Db, page: FilePage): Promise<StoredFile[]> {
  const column = page.sort === "name" ? files.name : files.createdAt;
  const { isAfter, inOrder } = keyset(page, column, files.seq);
  return db
    .select()
    .from(files)
    .where(isAfter)
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countFiles(db: Db): Promise<number> {
  return (await db.select({ n: count() }).from(files).get())?.n ?? 0;
}
