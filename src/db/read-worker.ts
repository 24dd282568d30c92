/// The entry of a reading thread: it answers statements from a connection that cannot write.

import { type Client, LibsqlError } from "@libsql/client";

import { createLocalClient } from "./local-client.ts";
import type { FromReader, ToReader } from "./read-protocol.ts";

const BUSY_TIMEOUT_MS = 2000;
const PRAGMAS = ["query_only = ON", "temp_store = MEMORY", "cache_size = -16384"];

let client: Client | undefined;
let opened: Promise<unknown> | undefined;

function report(message: FromReader): void {
  postMessage(message);
}

async function open(path: string): Promise<void> {
  client = createLocalClient(path, BUSY_TIMEOUT_MS);
  for (const pragma of PRAGMAS) await client.execute(`PRAGMA ${pragma}`);
}

async function read({ id, sql, args }: ToReader & { kind: "read" }): Promise<void> {
  try {
    await opened;
    if (!client)
      throw new LibsqlError("no database was named before the first statement", "SQLITE_MISUSE");
    const { columns, rows } = await client.execute(sql, args);
    report({ kind: "rows", id, columns, rows: rows.map((row) => Array.from(row)) });
  } catch (error) {
    const code = error instanceof LibsqlError ? error.code : "UNKNOWN";
    report({ kind: "failed", id, message: error instanceof Error ? error.message : "", code });
  }
}

addEventListener("message", ({ data }: MessageEvent<ToReader>) => {
  if (data.kind === "open") opened = open(data.path);
  // `read` reports its errors itself.
  else if (data.kind === "read") read(data).catch(() => {});
  else {
    client?.close();
    report({ kind: "closed" });
  }
});
