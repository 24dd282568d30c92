import { describe, expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";

/** What each layer may import, from the bottom up. A layer may always import itself. */
const MAY_IMPORT: Record<string, string[]> = {
  lib: [],
  "errors.ts": [],
  "environment.ts": [],
  "prices-file.ts": ["domain", "lib"],
  "secret-files.ts": [],
  "providers-file.ts": ["prices-file.ts", "secret-files.ts", "domain", "lib"],
  "config.ts": [
    "environment.ts",
    "prices-file.ts",
    "providers-file.ts",
    "secret-files.ts",
    "domain",
    "lib",
  ],
  domain: ["lib"],
  db: ["domain", "lib"],
  store: ["db", "domain", "lib"],
  providers: ["domain", "lib", "config.ts"],
  // Published by itself, for runtimes that have nothing else of this tree.
  client: [],
  "context.ts": ["db", "domain", "lib", "config.ts"],
  services: ["store", "providers", "db", "domain", "lib", "errors.ts", "context.ts", "config.ts"],
  engine: [
    "services",
    "store",
    "providers",
    "db",
    "domain",
    "lib",
    "errors.ts",
    "context.ts",
    "config.ts",
  ],
  upkeep: ["services", "lib", "context.ts"],
  courier: ["services", "store", "db", "domain", "lib", "context.ts", "config.ts"],
  scheduler: ["services", "store", "domain", "lib", "errors.ts", "context.ts"],
  mcp: ["domain", "lib", "errors.ts"],
  http: ["mcp", "services", "store", "db", "domain", "lib", "errors.ts", "context.ts", "config.ts"],
  backup: ["services", "store", "db", "domain", "lib", "config.ts"],
  cli: [
    "backup",
    "config.ts",
    "context.ts",
    "db",
    "domain",
    "errors.ts",
    "http",
    "lib",
    "logging.ts",
    "mcp",
    "parts.ts",
    "providers",
    "runner.ts",
    "services",
    "store",
  ],
  "logging.ts": ["config.ts", "lib"],
  "tracing.ts": ["lib", "config.ts"],
  "banner.ts": ["config.ts", "domain", "lib"],
  "announcer.ts": ["banner.ts"],
  "runner.ts": [
    "parts.ts",
    "tracing.ts",
    "http",
    "engine",
    "services",
    "providers",
    "domain",
    "db",
    "domain",
    "lib",
    "context.ts",
    "config.ts",
  ],
  "parts.ts": [
    "courier",
    "upkeep",
    "engine",
    "scheduler",
    "services",
    "db",
    "domain",
    "lib",
    "context.ts",
    "config.ts",
  ],
  "last-resort.ts": [],
  "process.ts": [
    "announcer.ts",
    "runner.ts",
    "banner.ts",
    "last-resort.ts",
    "logging.ts",
    "lib",
    "config.ts",
  ],
  "main.ts": ["process.ts"],
  "ready.ts": [],
  "deno.ts": ["process.ts"],
};

/** What runs in the browser. */
const PAGE = "http/monitor/app/";

async function allSources(): Promise<[string, string][]> {
  const files: [string, string][] = [];
  for await (const file of new Bun.Glob("**/*.{ts,tsx}").scan("src"))
    files.push([file, await Bun.file(join("src", file)).text()]);
  return files;
}

/** What runs in the server. */
async function sources(): Promise<[string, string][]> {
  return (await allSources()).filter(([file]) => !file.startsWith(PAGE));
}

/** Words that do not say what a file holds (CONTRIBUTING.md). */
const EMPTY_NAME = /(^|[/-])(utils?|helpers?|common|misc|shared|types|stuff|managers?)(\.tsx?$|\/)/;

test("files have names that say what they hold, in lower case", async () => {
  const names: string[] = [];
  for (const folder of ["src", "test", "examples", ".ci"])
    for await (const file of new Bun.Glob("**/*.{ts,tsx}").scan({ cwd: folder, dot: true }))
      names.push(`${folder}/${file}`);
  expect(names.length).toBeGreaterThan(800);
  expect(names.filter((file) => EMPTY_NAME.test(file) || !/^[a-z0-9./-]+$/.test(file))).toEqual([]);
});

describe("the source tree", () => {
  test("imports only ever point down the layers", async () => {
    const violations: string[] = [];
    for (const [file, source] of await sources()) {
      const layer = file.split("/")[0] ?? "";
      if (!MAY_IMPORT[layer]) violations.push(`${file} is in no layer`);
      for (const [, specifier] of source.matchAll(/from "(\.[^"]+)"/g)) {
        const target = normalize(join(dirname(file), specifier ?? "")).split("/")[0] ?? "";
        if (target === ".." || target === layer) continue;
        if (!MAY_IMPORT[layer]?.includes(target)) violations.push(`${file} -> ${target}`);
      }
    }
    expect(violations).toEqual([]);
  });

  test("only the entries know their runtime, and only http knows Hono", async () => {
    const files = await sources();
    const using = (pattern: RegExp) =>
      files.filter(([, source]) => pattern.test(source)).map(([file]) => file);
    expect(using(/\bBun\./).toSorted()).toEqual(["http/monitor/build.ts", "main.ts"]);
    expect(using(/\bDeno\./)).toEqual(["deno.ts"]);
    expect(using(/from "(hono|@hono)/).filter((file) => !file.startsWith("http/"))).toEqual([]);
    expect(
      using(/from "@libsql\/client"/).filter(
        (file) => !/^(db|store|engine|backup|cli)\/|^context/.test(file),
      ),
    ).toEqual([]);
  });
});

describe("the page", () => {
  const modules = async () => (await allSources()).filter(([file]) => file.startsWith(PAGE));

  test("imports only types from the server", async () => {
    const wrong: string[] = [];
    for (const [file, source] of await modules())
      for (const [, kind, specifier = ""] of source.matchAll(
        /^import (type )?[^;]*?from "(\.[^"]+)";/gm,
      ))
        if (!kind && !normalize(join(dirname(file), specifier)).startsWith(PAGE))
          wrong.push(`${file} -> ${specifier}`);
    expect(wrong).toEqual([]);
  });

  test("parses no text as HTML, and has no file above 250 lines", async () => {
    for (const [file, source] of await modules()) {
      expect([file, source.split("\n").length <= 251]).toEqual([file, true]);
      const found = /innerHTML|outerHTML|insertAdjacentHTML|document\.write/.exec(source)?.[0];
      expect([file, found]).toEqual([file, undefined]);
    }
  });
});

/** What the rest of the tree gets from `ctx.clock`, `ctx.random` and `lib/secrets.ts`. */
const MACHINE = new RegExp(
  [
    /\bDate\s*(?:\.now\b|\[|\(\s*\))/,
    /\bnew Date\b(?!\s*\(\s*[^\s)])/,
    /\bperformance\s*(?:\.(?:now|timeOrigin|mark|measure)\b|\[)/,
    // A timer may be one of a clock, a key of an object, or the name of a type's property.
    /(?<!\bclock\.|")\b(?:set|clear)(?:Timeout|Interval|Immediate)\b(?![":])/,
    /\bAbortSignal\.timeout\b|\bAtomics\.wait|\bscheduler\.(?:wait|postTask|yield)\b/,
    /\bMath\s*(?:\.random\b|\[)/,
    /\bcrypto\s*(?:\.(?:getRandomValues|random\w+)\b|\[)|\bwebcrypto\b/,
    /\brandom(?:UUID|Bytes|Int|Fill|FillSync)\b[^;]*from "(?:node:)?crypto"/,
    /\}\s*=\s*(?:Date|performance|Math|crypto|globalThis|Bun)\b/,
    /\bhrtime\b|\bTemporal\.|\bBun\.(?:sleep|nanoseconds|random)/,
    /\b(?:globalThis|global)\s*(?:\[|\.(?!fetch\b))/,
    /(?:\bfrom |\(|^import )"(?:(?:node:)?(?:timers(?:\/promises)?|perf_hooks)|bun)"/,
  ]
    .map(({ source }) => source)
    .join("|"),
);
const MAY_ASK_THE_MACHINE = new Set([
  "client/machine.ts",
  "lib/clock.ts",
  "lib/random.ts",
  "lib/secrets.ts",
  "process.ts",
]);

test("time, timers and randomness come from the context", async () => {
  const asking = (await sources())
    .map(([file, source]) => [file, MACHINE.exec(source)?.[0]])
    .filter(([, found]) => found !== undefined);
  expect(asking.filter(([file = ""]) => !MAY_ASK_THE_MACHINE.has(file))).toEqual([]);
});

test.each([
  "const at = Date.now();",
  "const at = new Date();",
  "const at = new Date;",
  "const at = Date();",
  'const at = Date["now"]();',
  "const { now } = Date;",
  "const at = performance.now();",
  "const at = performance.timeOrigin;",
  "const timer = setTimeout(ring, 5);",
  "const timer = globalThis.setTimeout(ring, 5);",
  'const timer = globalThis["setTimeout"](ring, 5);',
  "const later = setTimeout;",
  "clearInterval(timer);",
  'import { setTimeout as sleep } from "node:timers/promises";',
  'const timers = await import("timers");',
  'import { performance as watch } from "node:perf_hooks";',
  'import { sleep } from "bun";',
  "await Bun.sleep(5);",
  "const at = Bun.nanoseconds();",
  "await scheduler.wait(5);",
  "const signal = AbortSignal.timeout(5);",
  "const at = process.hrtime.bigint();",
  "const at = Temporal.Now.instant();",
  "const number = Math.random();",
  "const { random } = Math;",
  "const id = crypto.randomUUID();",
  "crypto.getRandomValues(bytes);",
  'import { createHash, randomBytes } from "node:crypto";',
])("%s is refused outside of the files that may ask the machine", (line) => {
  expect(MACHINE.test(line)).toBe(true);
});

test.each([
  "clock.setTimeout(ring, 5); cancel();",
  'type Given = Pick<Clock, "setTimeout" | "setImmediate">;',
  "const clock = { monotonic, setTimeout: setTimer };",
  "const at = new Date(row.at);",
  "const at: Date | null = null;",
  "const { fetch } = { fetch: globalThis.fetch };",
  'import { createHash } from "node:crypto";',
  'import { randomBytes } from "./secrets.ts";',
])("%s is allowed everywhere", (line) => {
  expect(MACHINE.test(line)).toBe(false);
});

test("a statement depends on the one before it in only one place", async () => {
  const linking = (await sources()).filter(([, source]) => source.includes("changes()"));
  expect(linking.map(([file]) => file)).toEqual(["store/linked.ts"]);
});

test("iterators are closed by those who open them, which `for` does and `next` does not", async () => {
  const stepping = (await sources()).filter(([, source]) => source.includes(".next()"));
  expect(stepping.map(([file]) => file)).toEqual(["http/stream.ts"]);
});
