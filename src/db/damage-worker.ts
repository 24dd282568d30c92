// / The entry of the thread that checks a large database file for damage.

import Database from "libsql";

import { type FromCheck, QUICK_CHECK } from "./damage.ts";

addEventListener("message", ({ data: { path } }: MessageEvent<{ path: string }>) => {
  const found: string[] = [];
  try {
    const database = new Database(path, { timeout: 1000 });
    database.exec("PRAGMA query_only = ON");
    for (const row of database.prepare(QUICK_CHECK).raw(true).all([]) as unknown[][])
      found.push(String(row[0]));
    database.close();
  } catch (error) {
    found.push(error instanceof Error ? error.message : String(error));
  }
  const answer: FromCheck = { found };
  postMessage(answer);
});
