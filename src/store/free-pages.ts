import type { Statement } from "../db/unit.ts";

/** The free pages of the file, and its auto_vacuum mode: with 2 (incremental), a few at a time can be given back. */
export const FREE_PAGES: Statement<{ free: number; mode: number }> = {
  sql: `SELECT f.freelist_count AS free, m.auto_vacuum AS mode
        FROM pragma_freelist_count f CROSS JOIN pragma_auto_vacuum m`,
  args: [],
};

/** The size of the database, from its header. */
export const DATABASE_SIZE: Statement<{ bytes: number }> = {
  sql: `SELECT c.page_count * s.page_size AS bytes
        FROM pragma_page_count c CROSS JOIN pragma_page_size s`,
  args: [],
};
