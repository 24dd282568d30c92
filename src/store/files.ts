import { count, eq } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { files, type StoredFile } from "../db/schema/files.ts";
import type { Statement } from "../db/unit.ts";
import { insertWhere } from "./insert-where.ts";
import { keyset, type Page } from "./pages.ts";
import { toSql, type Which } from "./which.ts";

export type { StoredFile };

export type NewFile = Omit<StoredFile, "seq">;

/** Adds the row of a file whose bytes are there, where a condition holds. */
export function insertFile(file: NewFile, when: Which): Statement {
  return insertWhere(files, file, toSql(when));
}

export function deleteFile(id: string): Statement {
  return toStatement(build.delete(files).where(eq(files.id, id)));
}

export function findFile(db: Db, id: string): Promise<StoredFile | undefined> {
  return db.select().from(files).where(eq(files.id, id)).get();
}

/** Those of some uploads that there are. */
export function findFiles(ids: readonly string[]): Statement<NamedUpload> {
  return {
    sql: `SELECT f.id, f.name, f.bytes, f.sha256 FROM json_each(?) j CROSS JOIN files f ON f.id = j.value`,
    args: [JSON.stringify(ids)],
  };
}

export type NamedUpload = Pick<StoredFile, "id" | "name" | "bytes" | "sha256">;

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
