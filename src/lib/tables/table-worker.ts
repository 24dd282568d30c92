/// The entry of the worker thread that reads tables (workbooks, Parquet). It does nothing else.

import { orCrash } from "../background.ts";
import { createSystemClock } from "../clock.ts";
import { readTable } from "./read-table.ts";
import type { FromTableThread, ToTableThread } from "./table-protocol.ts";
import { TableFileError, type TableFound, type TableSource } from "./table.ts";

const clock = createSystemClock();
let reading: Promise<void> = Promise.resolve();
/** The owner's next decision: whether to go on. */
let wish = Promise.withResolvers<boolean>();

function report(message: FromTableThread): void {
  postMessage(message);
}

async function isAskedForMore(): Promise<boolean> {
  const asked = await wish.promise;
  wish = Promise.withResolvers<boolean>();
  return asked;
}

async function read(source: TableSource): Promise<void> {
  if (!(await isAskedForMore())) return;
  try {
    let found: TableFound = { sheet: null, dates: [] };
    const table = readTable(source)((all) => {
      found = all;
    });
    for await (const rows of table) {
      if (rows.length === 0) continue;
      report({ kind: "rows", rows });
      if (!(await isAskedForMore())) return;
    }
    report({ kind: "end", found });
  } catch (error) {
    const isRefusal = error instanceof TableFileError;
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    const message = error instanceof Error ? error.message : String(error);
    report({ kind: "failed", message, isRefusal, code });
  }
}

addEventListener("message", ({ data }: MessageEvent<ToTableThread>) => {
  if (data.kind === "open") {
    wish = Promise.withResolvers<boolean>();
    reading = read(data.source);
    // Its owner ends the thread after an error.
    orCrash(clock, reading);
  } else {
    wish.resolve(data.kind === "next");
    if (data.kind === "close")
      orCrash(
        clock,
        reading.then(() => report({ kind: "closed" })),
      );
  }
});
