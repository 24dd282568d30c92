import type { Result, Router } from "hono/router";
import { RegExpRouter } from "hono/router/reg-exp-router";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";

/** A bound, because clients may request any number of paths. Routes without an id have a few hundred. */
const MOST_PATHS = 1000;
/** Longer paths contain an id or belong to no route. */
const LONGEST_PATH = 64;

/**
 * Hono's own routers with a cache for paths without parameters. The routes here need the slower of the two routers,
 * which takes 15 to 30 µs for a path, and most requests have one of a few paths.
 */
export function createRememberingRouter<T>(): Router<T> {
  const router = new SmartRouter<T>({ routers: [new RegExpRouter<T>(), new TrieRouter<T>()] });
  const found = new Map<string, Result<T>>();
  return {
    name: "RememberingRouter",
    add: (method, path, handler) => router.add(method, path, handler),
    match(method, path) {
      if (path.length > LONGEST_PATH) return router.match(method, path);
      const name = `${method} ${path}`;
      const known = found.get(name);
      if (known) return known;
      const result = router.match(method, path);
      if (hasParameters(result)) return result;
      if (found.size >= MOST_PATHS) found.clear();
      found.set(name, result);
      return result;
    },
  };
}

function hasParameters<T>(result: Result<T>): boolean {
  return result.length > 1 || result[0].some(([, params]) => Object.keys(params).length > 0);
}
