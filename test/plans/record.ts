/*
 * Loaded before every test by `bun test`. With `PLANS_FILE` set it appends to that file, a JSON value a
 * line, each distinct SQL text that the program prepares, and each function of `src/store` that is called.
 */
import { appendFileSync } from "node:fs";
import { basename } from "node:path";

import Database from "libsql";

import { storeFunctions } from "./store.ts";

export type Recorded = { sql: string } | { reached: string };

const file = process.env["PLANS_FILE"];
if (file !== undefined) record(file);

function record(file: string): void {
  const known = new Set<string>();
  const note = (key: string, recorded: Recorded) => {
    if (known.has(key)) return;
    known.add(key);
    appendFileSync(file, `${JSON.stringify(recorded)}\n`);
  };
  noteStatements((sql) => note(sql, { sql }));
  noteStoreFunctions((name) => note(name, { reached: name }));
}

/** The local client prepares each text once, so that this costs the suite nothing. */
function noteStatements(note: (sql: string) => void): void {
  const { prepare } = Database.prototype;
  const prepareAndNote = function (this: Database.Database, sql: string) {
    if (isOfProgram(new Error("stack").stack ?? "")) note(sql);
    return prepare.call(this, sql);
  };
  Object.assign(Database.prototype, { prepare: prepareAndNote });
}

/** Tests ask the database, too; what they ask is not the program's. */
function isOfProgram(stack: string): boolean {
  const caller = stack
    .split("\n")
    .find(
      (line) => /\/(src|test)\//.test(line) && !/local-client\.ts|plans\/record\.ts/.test(line),
    );
  return caller === undefined || !caller.includes("/test/");
}

/** Gives each module of `src/store` a tail that replaces its functions by ones that tell of a call. */
function noteStoreFunctions(note: (name: string) => void): void {
  const tell = <F extends (...args: never[]) => unknown>(name: string, inner: F): F =>
    // What it returns is called, and answers, as the function that it is given.
    ((...args: never[]) => {
      note(name);
      return inner(...args);
    }) as F;
  Object.assign(globalThis, { tellOfCall: tell });
  Bun.plugin({
    name: "calls of src/store",
    setup(build) {
      build.onLoad({ filter: /\/src\/store\/[\w-]+\.ts$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        const tail = storeFunctions(source).map(
          (name) => `${name} = tellOfCall("${basename(path, ".ts")}.${name}", ${name});`,
        );
        return { loader: "ts", contents: `${source}\n${tail.join(" ")}\n` };
      });
    },
  });
}
