import type { Db } from "../db/client.ts";

const queries = new WeakMap<Db, Map<string, unknown>>();

/** The query of this name, built on first use, because building a query takes longer than running it. */
export function prepareOnce<Query>(db: Db, name: string, build: () => Query): Query {
  let known = queries.get(db);
  if (!known) {
    known = new Map();
    queries.set(db, known);
  }
  if (!known.has(name)) known.set(name, build());
  // A name always stands for the same query, so the stored one is what `build` returns.
  return known.get(name) as Query;
}
