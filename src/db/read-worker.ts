/// The entry of a reading thread: it answers statements from a connection that cannot write.

import { type Client, LibsqlError } from "@libsql/client";

import { openWith } from "./pragmas.ts";
import type { FromReader, ToReader } from "./read-protocol.ts";

const PRAGMAS = ["query_only = ON", "temp_store = MEMORY", "cache_size = -16384"];

let path: string | undefined;
let client: Client | undefined;

function report(message: FromReader): void {
  postMessage(message);
}

/** The file may be unreadable for a moment, so each read tries to open it until that succeeds. */
async function use(): Promise<Client> {
  if (path === undefined)
    throw new LibsqlError("no database was named before the first statement", "SQLITE_MISUSE");
  return (client ??= await openWith(path, PRAGMAS));
}

async function read({ id, sql, args }: ToReader & { kind: "read" }): Promise<void> {
  try {
    const { columns, rows } = await (await use()).execute(sql, args);
    report({ kind: "rows", id, columns, rows: rows.map((row) => Array.from(row)) });
  } catch (error) {
    const code = error instanceof LibsqlError ? error.code : "UNKNOWN";
    report({ kind: "failed", id, message: error instanceof Error ? error.message : "", code });
  }
}

addEventListener("message", ({ data }: MessageEvent<ToReader>) => {
  if (data.kind === "open") path = data.path;
  // `read` reports its errors itself.
  else if (data.kind === "read") read(data).catch(() => {});
  else {
    client?.close();
    report({ kind: "closed" });
  }
});
