/*
 * `bun test` loads this before every test. It records each distinct SQL text that the program prepares, and each function
 * of `src/store` that is called. After the last test `check.ts` checks them, here or in `run.ts`.
 */
import { afterAll } from "bun:test";
import { basename } from "node:path";

import Database from "libsql";

import { RECORDS_FOLDER, type RecordFile } from "./record-file.ts";
import { storeFunctions } from "./store.ts";

export type Recorded = {
  statements: ReadonlySet<string>;
  /** Functions of `src/store`, as `module.function`. */
  reached: ReadonlySet<string>;
};

const statements = new Set<string>();
const reached = new Set<string>();
noteStatements((sql) => statements.add(sql));
noteStoreFunctions((name) => reached.add(name));

afterAll(async () => {
  const folder = process.env[RECORDS_FOLDER];
  if (folder !== undefined) {
    const file: RecordFile = { statements: [...statements], reached: [...reached] };
    await Bun.write(`${folder}/${process.pid}.json`, JSON.stringify(file));
    return;
  }
  const { checkPlans } = await import("./check.ts");
  const wrong = await checkPlans({ statements, reached }, false);
  if (wrong.length > 0) throw new Error(wrong.map((what) => `plans: ${what}`).join("\n"));
});

/** The local client prepares each text only once, so this does not slow the suite down. */
function noteStatements(note: (sql: string) => void): void {
  const { prepare } = Database.prototype;
  const prepareAndNote = function (this: Database.Database, sql: string) {
    if (isOfProgram(new Error("stack").stack ?? "")) note(sql);
    return prepare.call(this, sql);
  };
  Object.assign(Database.prototype, { prepare: prepareAndNote });
}

/** Tests query the database too. Their statements are not the program's. */
function isOfProgram(stack: string): boolean {
  const caller = stack
    .split("\n")
    .find(
      (line) => /\/(src|test)\//.test(line) && !/local-client\.ts|plans\/record\.ts/.test(line),
    );
  return caller === undefined || !caller.includes("/test/");
}

/** Appends code to each module of `src/store` that wraps its functions to record calls. */
function noteStoreFunctions(note: (name: string) => void): void {
  const tell = <F extends (...args: never[]) => unknown>(name: string, inner: F): F =>
    // The wrapper takes the same arguments and returns the same result.
    ((...args: never[]) => {
      note(name);
      return inner(...args);
    }) as F;
  Object.assign(globalThis, { announceOfCall: tell });
  Bun.plugin({
    name: "calls of src/store",
    setup(build) {
      build.onLoad({ filter: /\/src\/store\/[\w-]+\.ts$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        const tail = storeFunctions(source).map(
          (name) => `${name} = announceOfCall("${basename(path, ".ts")}.${name}", ${name});`,
        );
        return { loader: "ts", contents: `${source}\n${tail.join(" ")}\n` };
      });
    },
  });
}
