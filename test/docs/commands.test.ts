import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import manifest from "../../package.json";
import { createProgram } from "../../src/cli/program.ts";
import { temporaryFolder } from "../support/process.ts";
import { client, startServer } from "../support/server.ts";
import { blocksOf, readPage, readPages } from "./pages.ts";
import { runScript } from "./shell.ts";

const pages = readPages();

/** Further checks after the page, besides the success of every command. */
const OUTCOMES: Record<string, string[]> = {
  "docs/spreadsheets.md": ["cities-results.csv", "answers.xlsx"],
  "docs/operations.md": ["backups/monday/manifest.json", "tmp/trial/task-runner.db"],
};

/*
 * Runs the `bash` blocks as they are printed: the whole page in one shell, with its own server. Blocks of `sh` cannot run
 * here: they start a process that does not end, or need a program that is not installed.
 */
test.each(
  pages
    // It needs no server, and has a separate test: `test/cli/docs.test.ts`.
    .filter((page) => blocksOf(page, "bash").length > 0 && page.path !== "docs/command-line.md")
    .map((page) => page.path),
)("every command of %s works as pasted, from the first to the last", async (path) => {
  using folder = temporaryFolder();
  cpSync("examples/cities.xlsx", join(folder.path, "examples", "cities.xlsx"));
  const script = blocksOf(readPage(path), "bash").join("\n");
  await using app = await startServer({
    DATA_DIR: join(folder.path, "data"),
    // Slow enough for a batch to be paused before it has ended.
    SIMULATOR_LATENCY_MS: script.includes("/pause") ? "300" : "0",
  });
  await runScript(script, app.url, folder.path);
  const missing = (OUTCOMES[path] ?? []).filter((name) => !existsSync(join(folder.path, name)));
  expect(missing).toEqual([]);
  expect(await app.differences()).toEqual([]);
});

/** Where a command of a `sh` block runs instead: the file, a text in it that does so, and why it does not run here. */
type Elsewhere = {
  /** Its first group is the text to look for, unless `text` says it. */
  line: RegExp;
  runsIn: string;
  text?: string;
  why: string;
};

const NEEDS_CLONE = "it needs a clone of its own, and takes long";
const INSTALLS = "it installs packages from a registry";
const NEEDS_DOCKER = "it needs Docker's daemon and images from a registry";
const DEFINES = "the shell of the tests defines it";

const TRIED_ELSEWHERE: Elsewhere[] = [
  { line: /^npx -y bun@\S+ (run demo)$/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  { line: /\bbun@\S+ (run start)$/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  { line: /^bun (install|run dev)$/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  { line: /^bun (run bench throughput)$/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  {
    line: /^bun (run simulate --(?:seeds|seed 72 --trace|mutants))\b/,
    runsIn: ".ci/clone",
    why: NEEDS_CLONE,
  },
  { line: /^bun (run db:generate --name task-label)$/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  { line: /^bun (run test test\/)/, runsIn: ".ci/clone", why: NEEDS_CLONE },
  {
    line: /^bun run check$/,
    runsIn: ".ci/run",
    text: "run check:static",
    why: "it runs all tests; a test below compares its parts with .ci/run",
  },
  { line: /^bun (run check:\w+)$/, runsIn: ".ci/run", why: "it takes a minute" },
  {
    line: /^bun (run )(compile)$/,
    runsIn: ".ci/package",
    text: 'compile "$work/gptrunner"',
    why: "it takes long, and its result is tried in a root of its own",
  },
  {
    line: /^\.\/dist\/gptrunner (serve|run tasks\.csv --simulate)$/,
    runsIn: ".ci/package",
    text: "inside serve",
    why: "it needs the binary",
  },
  {
    line: /(?:^|; )GPTRUNNER_KEY=\S+ gptrunner profile add /,
    runsIn: "test/cli/server.test.ts",
    text: '"profile", "add"',
    why: "the page has the address of somebody's server",
  },
  {
    line: /^gptrunner run .* --profile work$/,
    runsIn: "test/cli/server.test.ts",
    text: '"--profile", "home"',
    why: "the page has the address of somebody's server",
  },
  { line: /^export (KEY)=gtr_…$/, runsIn: "test/docs/shell.ts", text: "KEY,", why: DEFINES },
  { line: /^npx (openapi-typescript) /, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^npx @hey-api\/(openapi-ts) /, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^npx (orval --input) /, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^(openapi-python-client generate) /, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^(python3 -m venv venv) /, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^pip install (openapi-python-client==\S+)$/, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^export (GPTRUNNER_KEY=)gtr_…$/, runsIn: ".ci/clients", why: INSTALLS },
  { line: /^python (run_file\.py cities\.csv) /, runsIn: ".ci/clients", why: INSTALLS },
  {
    line: /^docker compose --profile fleet /,
    runsIn: "test/deploy/fleet.test.ts",
    text: "startComposeFleet(",
    why: `${NEEDS_DOCKER}; the processes of compose.yaml are started without it`,
  },
  {
    line: /^docker compose up /,
    runsIn: "test/deploy/compose.test.ts",
    text: "environmentOf(image.env",
    why: `${NEEDS_DOCKER}; the service is started without it, and .ci/interop checks the format`,
  },
  {
    line: /^docker (build|run) /,
    runsIn: ".ci/interop.d/image",
    text: "buildah build ",
    why: `${NEEDS_DOCKER}; buildah builds the same image and runs it`,
  },
  {
    line: /^(mkdir -p deploy\/tls|openssl )/,
    runsIn: "test/support/compose-fleet.ts",
    text: "openssl req",
    why: "its result is needed there",
  },
  {
    line: /gpt-task-runner(\.service \/etc\/systemd\/system\/)?$/,
    runsIn: "test/deploy/compose.test.ts",
    text: "the unit for systemd",
    why: "it changes the machine; the unit is verified there, and its command is started",
  },
];

test("every command that is not run here runs elsewhere", () => {
  const unknown: string[] = [];
  const used = new Set<Elsewhere>();
  for (const page of pages)
    for (const line of blocksOf(page, "sh").flatMap((block) => linesOf(block))) {
      const place = TRIED_ELSEWHERE.find((one) => one.line.test(line));
      if (place) used.add(place);
      const text = place?.text ?? place?.line.exec(line)?.[1];
      if (!place || text === undefined || !readFileSync(place.runsIn, "utf8").includes(text))
        unknown.push(`${page.path}: ${line}`);
    }
  expect(unknown).toEqual([]);
  expect(TRIED_ELSEWHERE.filter((one) => !used.has(one))).toEqual([]);
});

test("CI runs every part of `bun run check`", () => {
  const parts = manifest.scripts.check.split(" && ").slice(1);
  const inCi = readFileSync(".ci/run", "utf8");
  const missing = parts
    .map((part) => part.replace("exec bun test/run.ts", "bun run test").replace(/^bun /, ""))
    .filter((part) => !inCi.includes(part));
  expect([parts.length, missing]).toEqual([4, []]);
});

/** Commands, each on one line, without comments. */
function linesOf(block: string): string[] {
  return block
    .replaceAll("\\\n", " ")
    .split("\n")
    .map((line) => line.replace(/ +#.*$/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

test("every script that the documentation names exists, and so does every command of it", () => {
  const admin = createProgram(false).commands.find((command) => command.name() === "admin");
  const commands = new Set(admin?.commands.map((command) => command.name()));
  const unknown: string[] = [];
  for (const { path, text } of pages) {
    for (const [, name = ""] of text.matchAll(/\bbun(?:@\S+)? run ([a-z][\w:-]*)/g))
      if (!(name in manifest.scripts)) unknown.push(`${path}: bun run ${name}`);
    for (const [, name = ""] of text.matchAll(/\bbun run admin ([a-z]+)/g))
      if (!commands.has(name)) unknown.push(`${path}: bun run admin ${name}`);
  }
  expect(unknown).toEqual([]);
});

/** The scripts of the project's own commands. The server and the command line read their arguments themselves. */
function ownScripts(): string[] {
  const ofPackage = Object.values(manifest.scripts).flatMap((script) =>
    [...script.matchAll(/\bbun ([\w./-]+\.ts)\b/g)].map(([, path = ""]) => path),
  );
  const ofCi = readdirSync(".ci", { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "help.sh")
    .map(({ name }) => `.ci/${name}`);
  return [...new Set([...ofPackage, ...ofCi])].filter((path) => !/^src\/(cli\/)?main/.test(path));
}

test("every script answers --help before it does anything", () => {
  const isTs = (path: string) => path.endsWith(".ts");
  const scripts = ownScripts();
  // The imports of some scripts take seconds, so that only the place of the call is looked at.
  const doMore = scripts.filter(isTs).filter((path) => {
    const code = readFileSync(path, "utf8").replace(/^\/\*.*?^ \*\/$/ms, "");
    return !/^\s*(import [^;]+;\s+)+answerHelp\(import\.meta\.url\);/.test(code);
  });
  const quick = ["src/http/monitor/build.ts", ...scripts.filter((path) => !isTs(path))];
  const silent = quick.filter((path) => {
    const command = isTs(path) ? [process.execPath, path] : [path];
    const { exitCode, stdout, stderr } = Bun.spawnSync([...command, "--help"]);
    return exitCode !== 0 || stdout.length < 50 || stderr.length > 0;
  });
  expect([doMore, silent, scripts.length > 15]).toEqual([[], [], true]);
});

test("shell stands in blocks of `bash` or `sh` alone", () => {
  const languages = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/^```(\w*)\n.*?^```$/gms)].map(([, language]) => `${path}: ${language}`),
  );
  const known = /: (bash|sh|json|js|ts|py|sql|text|diff)$/;
  expect(languages.filter((one) => !known.test(one))).toEqual([]);
});

test("the printed examples of the API documentation work with curl, from an empty database", async () => {
  using folder = temporaryFolder();
  await using app = await startServer({ DATA_DIR: folder.path, API_KEYS: "YOUR_API_KEY" });
  const { finished } = client(app.url, "YOUR_API_KEY");
  mkdirSync(join(app.filesDir, "path/to"), { recursive: true });
  writeFileSync(join(app.filesDir, "path/to/tasks.csv"), "id,prompt\ncsv-1,Say hello\n");
  const documented = `curl -X POST http://localhost:3000/api/v1/tasks \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "id": "example-task",
    "prompt": "Explain quantum computing in simple terms",
    "model": "gpt-4",
    "temperature": 0.7
  }'
curl -X POST http://localhost:3000/api/v1/batches \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "id": "csv-batch",
    "name": "CSV Processing",
    "inputFile": "/path/to/tasks.csv",
    "config": {
      "model": "gpt-3.5-turbo",
      "maxConcurrency": 10
    }
  }'
curl -X POST http://localhost:3000/api/v1/batches/csv-batch/execute \\
  -H "Authorization: Bearer YOUR_API_KEY"`;
  // The printed path stands for a path inside FILES_DIR; no machine has /path/to.
  const script = documented
    .replaceAll("http://localhost:3000", app.url)
    .replace("/path/to/tasks.csv", join(app.filesDir, "path/to/tasks.csv"));
  const output = await runScript(script, app.url, folder.path);
  expect(output).toContain('"id":"example-task","status":"pending"');
  expect(output).toContain('"taskCount":1');
  expect(await finished("csv-batch")).toMatchObject({ status: "completed" });
});
