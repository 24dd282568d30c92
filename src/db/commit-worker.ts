/// The entry of the thread that writes a local file: it commits groups of statements, one commit after the other.

import { type InValue, LibsqlBatchError, LibsqlError } from "@libsql/client";

import { splitTexts } from "../lib/joined-texts.ts";
import type { FromCommitter, ToCommitter } from "./commit-protocol.ts";
import type { LocalClient } from "./local-client.ts";
import { openWith, WRITING_PRAGMAS } from "./pragmas.ts";

let path: string | undefined;
let client: LocalClient | undefined;
const texts: string[] = [];
/** Ends when all messages so far are answered. The owner expects the answers in the order of its messages. */
let answered: Promise<void> = Promise.resolve();

function report(message: FromCommitter): void {
  postMessage(message);
}

/** The file may be unreadable for a moment, so each commit tries to open it until that succeeds. */
async function use(): Promise<LocalClient> {
  if (path === undefined)
    throw new LibsqlError("no database was named before the first commit", "SQLITE_MISUSE");
  return (client ??= await openWith(path, WRITING_PRAGMAS));
}

async function commit(message: ToCommitter & { kind: "commit" }): Promise<FromCommitter> {
  texts.length = message.firstText;
  texts.push(...message.texts);
  // Arguments that were sent are values of the database.
  const args = splitTexts(message.args) as InValue[][];
  let next = 0;
  const writing = await use();
  const results = await writing.commitSome(
    message.groups.map((statements) =>
      statements.map((text) => ({ sql: texts[text] ?? "", args: args[next++] ?? [] })),
    ),
    message.options,
  );
  return {
    kind: "done",
    results: results.map((ofGroup) =>
      ofGroup.map(({ columns, rows, rowsAffected }) => [
        columns,
        // Rows of commits are arrays and nothing else.
        rows as unknown as unknown[][],
        rowsAffected,
      ]),
    ),
  };
}

async function answer(message: ToCommitter): Promise<FromCommitter> {
  if (message.kind === "close") {
    client?.close();
    return { kind: "closed" };
  }
  try {
    if (message.kind === "commit") return await commit(message);
    if (message.kind === "execute") await (await use()).executeMultiple(message.sql);
    return { kind: "done", results: [] };
  } catch (error) {
    return {
      kind: "failed",
      message: error instanceof Error ? error.message : String(error),
      code: codeOf(error),
      place: error instanceof LibsqlBatchError ? error.statementIndex : -1,
    };
  }
}

/** Of libSQL's errors, and of those of its driver, which are not of its class. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "UNKNOWN";
}

addEventListener("message", ({ data }: MessageEvent<ToCommitter>) => {
  if (data.kind === "open") path = data.path;
  else answered = answered.then(() => answer(data)).then(report);
});
