import { asc, count, desc, eq, type SQL, sql } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { files, type StoredFile } from "../db/schema.ts";
import type { Statement } from "../db/unit.ts";

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

export type FilePage = {
  sort: "createdAt" | "name";
  order: "asc" | "desc";
  limit: number;
  offset: number;
  after?: [number | string, number] | undefined;
};

export function listFiles(db: Db, page: FilePage): Promise<StoredFile[]> {
  const column = page.sort === "name" ? files.name : files.createdAt;
  const direction = page.order === "asc" ? asc : desc;
  const after: SQL | undefined = page.after
    ? sql`(${column}, ${files.seq}) ${sql.raw(page.order === "asc" ? ">" : "<")} (${page.after[0]}, ${page.after[1]})`
    : undefined;
  return db
    .select()
    .from(files)
    .where(after)
    .orderBy(direction(column), direction(files.seq))
    .limit(page.limit)
    .offset(page.offset);
}

export async function countFiles(db: Db): Promise<number> {
  return (await db.select({ n: count() }).from(files).get())?.n ?? 0;
}
