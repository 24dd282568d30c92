import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { runCommand, startCommand } from "../support/command-line.ts";
import { nextProgram } from "../support/next-version.ts";
import { temporaryFolder } from "../support/process.ts";
import { COMMAND_LINE_IN_SHELL } from "../support/program.ts";
import { fail, startProvider } from "../support/provider.ts";
import { KEY, startServer } from "../support/server.ts";

const FILE = "Städte und Länder.csv";
const CITIES = "city\r\nParis\r\n東京\r\nLima\r\n";
const PROMPT = ["--prompt", "Where is {{city}}?"];

function folderWith(text: string, name = FILE) {
  const folder = temporaryFolder();
  writeFileSync(join(folder.path, name), text);
  return folder;
}

const idIn = (text: string) => /run-[0-9a-f]{16}/.exec(text)?.[0] ?? "";

const manyRows = (n: number) =>
  `city\n${Array.from({ length: n }, (_, i) => `city ${i}\n`).join("")}`;

describe("gptrunner run", () => {
  test("writes a file of answers, and the same command again pays nothing", async () => {
    await using provider = await startProvider();
    // The file has its own ids, which other runs of the file share.
    const text = "id,city\r\np,Paris\r\nt,東京\r\nl,Lima\r\n";
    await using app = await startServer(provider.env);
    const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
    using folder = folderWith(text);
    const args = ["run", FILE, ...PROMPT, "--json"];
    const first = await runCommand(folder.path, args, { env });
    const again = await runCommand(folder.path, args, { env });

    expect([first.code, again.code]).toEqual([0, 0]);
    const summary = JSON.parse(first.out);
    expect(summary).toMatchObject({
      name: FILE,
      status: "completed",
      rows: { total: 3, completed: 3, failed: 0 },
      isSimulated: false,
      latency: { sampled: 3 },
      out: "Städte und Länder-results.csv",
    });
    const lines = readFileSync(join(folder.path, summary.out), "utf8").split("\n");
    expect(lines[2]).toStartWith("t,東京,completed,re: Where is 東京?,");
    expect(first.err).toMatch(/Estimate: 3 rows to ask; \d+ tokens in/);
    expect(first.err).not.toContain("\u001B");
    expect(again.err).toContain(`has been run already, as ${summary.batchId}`);
    expect(provider.requests.length).toBe(3);

    // An unchanged row reuses the answer that was paid for.
    writeFileSync(join(folder.path, FILE), text.replace("Lima", "Quito"));
    const changed = await runCommand(folder.path, [...args, "--out", "changed.jsonl"], {
      env,
    });
    expect([changed.code, JSON.parse(changed.out).rows.cached]).toEqual([0, 2]);
    expect(provider.requests.slice(3).map(({ prompt }) => prompt)).toEqual(["Where is Quito?"]);
  });

  test("continues after kill -9, Ctrl-C and an upgrade, and requests no answer twice", async () => {
    await using provider = await startProvider();
    using folder = folderWith(manyRows(40));
    const args = ["run", FILE, ...PROMPT, "--concurrency", "2"];
    let release = () => {};
    let stop = Promise.withResolvers<void>();
    /** Answers `n` calls, and holds the others until they are released. */
    const answerOnly = (n: number) => {
      const gate = new Promise<void>((resolve) => (release = resolve));
      stop = Promise.withResolvers<void>();
      const from = provider.requests.length;
      provider.state.behave = async () => {
        if (provider.requests.length - from < n) return undefined;
        stop.resolve();
        await gate;
        return undefined;
      };
    };

    answerOnly(10);
    const killed = startCommand(folder.path, args, { env: provider.env });
    await stop.promise;
    killed.kill("SIGKILL");
    await killed.ended();
    release();

    answerOnly(10);
    const interrupted = startCommand(folder.path, args, { env: provider.env });
    await stop.promise;
    interrupted.kill("SIGINT");
    await interrupted.said(/Pausing/);
    release();
    const paused = await interrupted.ended();
    expect(paused.code).toBe(130);
    expect(paused.err).toMatch(/Going on with run-\w+: \d+ of 40 rows are done/);
    expect(paused.err).toMatch(
      /Paused at \d+ of 40 rows. To continue:\n {2}gptrunner run 'Städte und Länder.csv'/,
    );

    provider.state.behave = () => undefined;
    // The program is replaced by a later one, which migrates the database of the folder first.
    using upgrade = temporaryFolder();
    const program = nextProgram(upgrade.path);
    const last = await runCommand(folder.path, args, { env: provider.env, program });
    expect([last.code, last.err]).toEqual([0, expect.stringContaining("40 of 40 answered")]);
    expect(last.err).toMatch(/Going on with run-\w+: \d+ of 40 rows are done/);
    const copies = readdirSync(join(folder.path, ".gptrunner")).filter((name) =>
      name.includes(".before-"),
    );
    expect(copies).toHaveLength(1);
    // Calls in flight at the kill are made again: two rows at a time.
    expect(provider.counts.size).toBe(40);
    expect(provider.requests.length).toBeLessThanOrEqual(40 + 2 + 2);
  });

  test("says what failed and how to retry it, and the retry completes the file", async () => {
    await using provider = await startProvider(({ prompt }, response) =>
      prompt.includes("Lima") ? fail(response, 400, { message: "no such place" }) : undefined,
    );
    await using app = await startServer(provider.env);
    const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
    // A CSV, whatever its name.
    using folder = folderWith(CITIES, "cities.xlsx");
    const run = await runCommand(
      folder.path,
      ["run", "cities.xlsx", ...PROMPT, "--out", "o.jsonl"],
      {
        env,
      },
    );
    expect(run.code).toBe(3);
    expect(run.err).toContain("Warning: cities.xlsx is not a workbook");
    expect(run.err).toContain("1 row failed: ");
    const retry = /gptrunner (batch retry .*)/.exec(run.err)?.[1]?.split(" ") ?? [];
    provider.state.behave = () => undefined;
    const retried = await runCommand(folder.path, retry, { env });
    expect([retried.code, retried.err]).toEqual([0, expect.stringContaining("3 of 3 answered")]);
    const rows = readFileSync(join(folder.path, "o.jsonl"), "utf8").trim().split("\n");
    expect(rows.map((row) => JSON.parse(row).status)).toEqual([
      "completed",
      "completed",
      "completed",
    ]);
    expect(provider.requests.length).toBe(4);
  });

  test("reads from a pipe and writes to one, and a reader that leaves early is not a failure", async () => {
    using folder = temporaryFolder();
    const args = ["run", "-", ...PROMPT, "--simulate"];
    const piped = await runCommand(folder.path, args, { input: CITIES });
    expect(piped.code).toBe(0);
    expect(piped.out.split("\n").length).toBe(5);
    expect(piped.out).toStartWith("city,status,result,");

    const shell = `${COMMAND_LINE_IN_SHELL} batch results ${idIn(piped.err)} | head -c 1`;
    const left = Bun.spawnSync(["bash", "-c", `${shell}; exit \${PIPESTATUS[0]}`], {
      cwd: folder.path,
    });
    expect([left.exitCode, left.stdout.toString()]).toEqual([0, "c"]);
  });

  test("reports wrong use before anything is read, called or paid for", async () => {
    await using provider = await startProvider();
    using folder = folderWith(CITIES);
    writeFileSync(join(folder.path, "there.csv"), "precious");
    const { env } = provider;
    const go = (args: string[], extra: Record<string, string> = env) =>
      runCommand(folder.path, ["run", ...args], { env: extra });
    const outcomes = await Promise.all([
      go(["nothing.csv"]),
      go([FILE, "--nonsense"]),
      go([FILE, "--columns", "a", "--schema", "s.json"]),
      go([FILE, "--out", "x.pdf"]),
      go([FILE, "--limit", "0"]),
      go([FILE, "--simulate", "--limit", "2"]),
      go([FILE, "--server", "http://localhost:1"]),
    ]);
    expect(outcomes.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 2, 5]);
    const bad = await go([FILE, "--prompt", "{{town}}?", "--json"]);
    expect([bad.code, JSON.parse(bad.err).error.code]).toEqual([2, "VALIDATION_ERROR"]);
    const none = await go([FILE, ...PROMPT], {});
    expect([none.code, none.err]).toEqual([2, expect.stringContaining("--simulate")]);
    const there = await go([FILE, ...PROMPT, "--out", "there.csv"]);
    expect([there.code, there.err]).toEqual([2, expect.stringContaining("there.csv exists")]);
    expect(readFileSync(join(folder.path, "there.csv"), "utf8")).toBe("precious");
    expect(provider.requests.length).toBe(0);
  });

  test("a trial runs the first rows once, and a cap pauses the rest until it is raised", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
    using folder = folderWith(manyRows(20));
    const args = ["run", FILE, ...PROMPT, "--model", "gpt-4o", "--concurrency", "1"];
    const trial = [...args, "--limit", "3"];
    const first = await runCommand(folder.path, trial, { env });
    const second = await runCommand(folder.path, trial, { env });
    expect([first.code, second.code, provider.requests.length]).toEqual([0, 0, 3]);
    expect(first.err).toContain("Städte und Länder-trial.csv");

    const capped = await runCommand(folder.path, [...args, "--max-cost", "0.000001"], { env });
    expect([capped.code, capped.err]).toEqual([
      4,
      expect.stringContaining("Paused: What is left of maxCostUsd"),
    ]);
    expect(provider.requests.length).toBe(3);
    const late = await runCommand(folder.path, trial, { env });
    expect([late.code, late.err]).toEqual([2, expect.stringContaining("is paused")]);
    const raised = await runCommand(folder.path, [...args, "--max-cost", "5"], { env });
    expect([raised.code, provider.requests.length]).toEqual([0, 20]);
  });

  test("two runs at once in one folder do not disturb each other, and a broken folder is named", async () => {
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    await using provider = await startProvider(async () => {
      asked.resolve();
      await held.promise;
      return undefined;
    });
    using folder = folderWith(CITIES);
    const args = ["run", FILE, ...PROMPT];
    const first = startCommand(folder.path, args, { env: provider.env });
    await asked.promise;
    const second = await runCommand(folder.path, [...args, "--json"], { env: provider.env });
    held.resolve();
    expect([second.code, JSON.parse(second.err).error.code]).toEqual([6, "FOLDER_IN_USE"]);
    expect((await first.ended()).code).toBe(0);
    expect(provider.requests.length).toBe(3);

    writeFileSync(join(folder.path, "broken"), "");
    const broken = await runCommand(folder.path, ["batch", "ls", "--dir", "broken"]);
    expect([broken.code, broken.err]).toEqual([
      1,
      expect.stringContaining("broken cannot be used"),
    ]);
  });
});
