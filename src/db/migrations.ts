import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { readMigrationFiles } from "drizzle-orm/migrator";

import { PROGRAM_ROOT } from "../lib/program-root.ts";

/** The migrations that come with this version, and the rows that record them. */
export const FOLDER = fileURLToPath(new URL("drizzle", PROGRAM_ROOT));

export type Migration = { name: string; when: number; hash: string; statements: string[] };

export type Migrations = {
  /** In their order. */
  all: Migration[];
  /** A version of the previous release that has this migration may run beside this one. */
  besideSince: number;
};

/** Reads a folder of migrations; its `beside.json` names the last migration of the previous release. */
export function readMigrations(folder: string): Migrations {
  const journal = readJson<{ entries: { tag: string }[] }>(join(folder, "meta/_journal.json"));
  const all = readMigrationFiles({ migrationsFolder: folder }).map((file, i): Migration => ({
    name: journal.entries[i]?.tag ?? "",
    when: file.folderMillis,
    hash: file.hash,
    statements: file.sql,
  }));
  const { since } = readJson<{ since: string }>(join(folder, "beside.json"));
  const oldest = all.find(({ name }) => name === since);
  if (!oldest) throw new Error(`beside.json names ${since}, and there is no such migration`);
  return { all, besideSince: oldest.when };
}

/** The files are part of the program, so their shape is known. */
function readJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(path, "utf8")) as Shape;
}

const ADDS = [
  /^create (table|index)\b/i,
  /^alter table \S+ add (column )?\S+ \w+$/i,
  /^alter table \S+ add .* default (?!\(?null)/i,
  /^insert into\b/i,
  /^update\b/i,
  // It refuses only `INSERT OR REPLACE`: a plain insert of an existing id fails without it, too.
  /^create trigger \S+ before insert on (\S+) when exists \(select 1 from \1 where (`?id`?) = new\.\2\)/i,
];
const OF_TABLE = /^create (?:unique index|trigger)\b.*?\bon (\S+)/is;

/**
 * Why a version with migrations up to `besideSince` could not run on a database with the later ones, too; `undefined`
 * if it could. The later ones may add tables, plain indexes, and optional columns. They may not remove or rename what
 * the older version reads, nor require or forbid what it writes.
 */
export function whyNotBeside({ all, besideSince }: Migrations): string | undefined {
  const added = all
    .filter(({ when }) => when > besideSince)
    .flatMap(({ name, statements }) =>
      statements.map((sql) => ({ name, sql: sql.trim().replace(/;$/, "") })),
    );
  const tables = new Set(added.map(({ sql }) => /^create table (\S+)/i.exec(sql)?.[1]));
  const wrong = added.find(({ sql }) => {
    const table = OF_TABLE.exec(sql)?.[1];
    return !ADDS.some((adds) => adds.test(sql)) && (table === undefined || !tables.has(table));
  });
  return (
    wrong &&
    `${wrong.name} does more than add: ${wrong.sql.slice(0, 100)}. The version before could not run ` +
      "beside this one. Divide it: add in this release, and take away in the next"
  );
}
