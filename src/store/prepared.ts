import type { Db } from "../db/client.ts";

const queries = new WeakMap<Db, Map<string, unknown>>();

/** The query of this name, built when it is first needed: building one takes longer than running it. */
export function prepareOnce<Query>(db: Db, name: string, build: () => Query): Query {
  let known = queries.get(db);
  if (!known) {
    known = new Map();
    queries.set(db, known);
  }
  if (!known.has(name)) known.set(name, build());
  // A name always stands for the same query, so that what is there is what `build` makes.
  return known.get(name) as Query;
}
