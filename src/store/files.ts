import { count, eq } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { files, type StoredFile } from "../db/schema/files.ts";
import type { Statement } from "../db/unit.ts";
import { keyset, type Page } from "./pages.ts";

export type { StoredFile };

export type NewFile = Omit<StoredFile, "seq">;

export function insertFile(file: NewFile): Statement {
  return toStatement(build.insert(files).values(file));
}

export function deleteFile(id: string): Statement {
  return toStatement(build.delete(files).where(eq(files.id, id)));
}

export function findFile(db: Db, id: string): Promise<StoredFile | undefined> {
  return db.select().from(files).where(eq(files.id, id)).get();
}

/** All that there are. */
export const UPLOAD_IDS: Statement<{ id: string }> = { sql: "SELECT id FROM files", args: [] };

/** Which of these are no uploads. */
export function unknownFiles(ids: readonly string[]): Statement<{ id: string }> {
  return {
    sql: `SELECT value AS id FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = value)`,
    args: [JSON.stringify(ids)],
  };
}

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
