import { customType } from "drizzle-orm/sqlite-core";

import { parseExact } from "../lib/exact-json.ts";

/**
 * A column of clients' JSON that keeps numbers as they are written: all of them, or those below the names in
 * `within`. `text({ mode: "json" })` would read 1e400 as null.
 */
export function exactText<T extends object>(within?: ReadonlySet<string>) {
  const column = customType<{ data: T; driverData: string }>({
    dataType: () => "text",
    fromDriver: (text) => parseExact(text, within) as T,
    toDriver: (value) => JSON.stringify(value),
  });
  return column();
}
