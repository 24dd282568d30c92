import { expect, test } from "bun:test";
import { cpSync, mkdirSync, writeFileSync, existsSync, readFileSync } from "node:fs";
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

/** Where the commands of `sh` blocks are tested: a file, and the text in it that does so. */
const TRIED_ELSEWHERE: [RegExp, string, string][] = [
  [/^npx -y bun@\S+ run demo$/, "test/process/start.test.ts", "examples/demo.ts"],
  [/bun@\S+ run start$/, "test/process/start.test.ts", "`bun run start` and the container"],
  [/^npx -y bun@\S+ run test$/, ".ci/run", "run test"],
  [/(^|; )(GPTRUNNER_KEY=\S+ )?gptrunner (profile|run) /, "test/cli/server.test.ts", "profile"],
  [/^export KEY=gtr_…$/, "test/docs/shell.ts", "KEY,"],
  [/^npx openapi-typescript /, ".ci/clients", "npx openapi-typescript "],
  [/^npx @hey-api\/openapi-ts /, ".ci/clients", "npx openapi-ts "],
  [/^npx orval /, ".ci/clients", "orval"],
  [/^openapi-python-client generate /, ".ci/clients", "openapi-python-client generate "],
  [/^docker compose --profile fleet /, "test/deploy/fleet.test.ts", "compose-fleet"],
  [/^docker compose /, "test/deploy/compose.test.ts", "readCompose"],
  [/^docker (build|run) /, ".ci/interop.d/image", "buildah build "],
  [/^(mkdir -p deploy\/tls|openssl )/, "test/support/compose-fleet.ts", "openssl"],
  [/gpt-task-runner(\.service)?( \/etc\/\S+)?$/, ".ci/interop.d/deploy", "systemd-analyze verify"],
  [/^bun install$/, ".ci/run", "install --frozen-lockfile"],
  [/^bun run dev$/, "test/support/process.ts", "src/main.ts"],
  [/^bun run (check|test)( .*)?$/, ".ci/run", "run check:static"],
  [/^bun run check:\w+$/, ".ci/run", "run check:dependencies"],
  [/^bun run bench /, "test/bench/RESULTS.md", "`bun run bench throughput`"],
  [/^bun run simulate /, "test/simulation/simulation.test.ts", "simulate("],
  [/^bun run db:generate /, "package.json", "drizzle-kit generate"],
  [/^bun run compile$/, ".ci/package", ".ci/compile.ts"],
  [/^\.\/dist\/gptrunner (serve|run) /, ".ci/package", "inside run"],
  [/^\.\/dist\/gptrunner serve$/, ".ci/package", "inside serve"],
  [/^\.ci\/run$/, ".ci/run", "== tests"],
  [/^\.ci\/interop$/, ".ci/interop", "interop.d"],
];

test("every command that is not run here is tested elsewhere", () => {
  const unknown: string[] = [];
  for (const page of pages)
    for (const line of blocksOf(page, "sh").flatMap((block) => linesOf(block))) {
      const place = TRIED_ELSEWHERE.find(([pattern]) => pattern.test(line));
      if (!place || !readFileSync(place[1], "utf8").includes(place[2]))
        unknown.push(`${page.path}: ${line}`);
    }
  expect(unknown).toEqual([]);
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
