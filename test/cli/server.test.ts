import { expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { type Outcome, runCommand, startCommand } from "../support/command-line.ts";
import { passOn, startFront } from "../support/front.ts";
import { temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer, until } from "../support/server.ts";

const codes = (outcomes: Outcome[]) => outcomes.map(({ code }) => code);

/** Colours, and lines that replace each other, are for terminals. A tab and the end of a line are not control. */
const CONTROL = /[^\P{Cc}\t\n]/u;

test("with the address and key of a server, all work is done there", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "cities.csv"), "city\nParis\nLima\n");
  const env = { GPTRUNNER_SERVER: `${app.url}/`, GPTRUNNER_KEY: KEY };
  const go = (...args: string[]) => runCommand(folder.path, args, { env });

  const [run, asked, models, status, schedule, upload, key, none] = await Promise.all([
    go("run", "cities.csv", "--prompt", "Where is {{city}}?", "--columns", "country", "--json"),
    go("ask", "Who is there?", "--system", "Be brief."),
    go("models", "--json"),
    go("status"),
    go("schedule", "add", "Nightly", "--cron", "0 3 * * *", "--upload", "cities.csv", "--json"),
    go("files", "upload", "cities.csv"),
    go("keys", "create", "Import", "--scopes", "read", "--json"),
    go("batch", "show", "nothing"),
  ]);
  expect(codes([asked, models, status, schedule, upload, key])).toEqual([0, 0, 0, 0, 0, 0]);
  expect(asked.out).toBe("re: Who is there?\n");
  expect(JSON.parse(models.out).length).toBeGreaterThan(0);
  // `re: …` is not an answer with the requested column.
  expect([run.code, JSON.parse(run.out).failures[0].code]).toEqual([3, "SCHEMA_MISMATCH"]);
  expect([none.code, none.err]).toEqual([1, expect.stringContaining("nothing")]);

  const { batchId } = JSON.parse(run.out);
  const secret: string = JSON.parse(key.out).key;
  const reader = (...args: string[]) =>
    runCommand(folder.path, args, { env: { ...env, GPTRUNNER_KEY: secret } });
  const [list, show, results, watched, cat, runs, refused, wrong] = await Promise.all([
    reader("batch", "ls"),
    reader("batch", "show", batchId),
    reader("batch", "results", batchId, "--format", "jsonl", "--status", "failed"),
    reader("watch", batchId, "--json"),
    reader("files", "cat", upload.out.trim()),
    go("schedule", "runs", JSON.parse(schedule.out).id),
    reader("batch", "cancel", batchId, "--json"),
    runCommand(folder.path, ["batch", "ls"], { env: { ...env, GPTRUNNER_KEY: "wrong" } }),
  ]);
  expect(codes([list, show, results, cat, runs])).toEqual([0, 0, 0, 0, 0]);
  expect(list.out).toContain(batchId);
  expect(show.out).toContain("2 rows failed: SCHEMA_MISMATCH");
  expect(results.out.trim().split("\n").length).toBe(2);
  expect([watched.code, JSON.parse(watched.out).rows.failed]).toEqual([3, 2]);
  expect(cat.out).toBe("city\nParis\nLima\n");
  expect([refused.code, JSON.parse(refused.err).error.code]).toEqual([5, "FORBIDDEN"]);
  const all = [
    run,
    asked,
    models,
    status,
    schedule,
    upload,
    key,
    none,
    list,
    show,
    results,
    watched,
  ];
  expect(all.filter(({ out, err }) => CONTROL.test(out + err))).toEqual([]);
  expect(run.err).toContain("Estimate: 2 rows");
  expect(wrong.code).toBe(5);
});

test("a profile keeps a server and its key, readable only for its user", async () => {
  await using app = await startServer();
  using folder = temporaryFolder();
  const add = ["profile", "add", "home", "--server", app.url];
  const added = await runCommand(folder.path, add, { env: { GPTRUNNER_KEY: KEY } });
  const path = join(folder.path, ".config", "gptrunner", "profiles.json");
  expect([added.code, statSync(path).mode & 0o777]).toEqual([0, 0o600]);
  const [list, used, unknown, simulator] = await Promise.all([
    runCommand(folder.path, ["profile", "ls"]),
    runCommand(folder.path, ["batch", "ls", "--profile", "home"]),
    runCommand(folder.path, ["batch", "ls", "--profile", "away"]),
    runCommand(folder.path, ["ask", "Hi", "--profile", "home"]),
  ]);
  expect(codes([list, used, unknown, simulator])).toEqual([0, 0, 2, 2]);
  expect(list.out).toContain(app.url);
  expect(list.out + readFileSync(path, "utf8").replace(KEY, "")).not.toContain(KEY);
  expect(simulator.err).toContain("--simulate");
});

test("serve --json announces the server of a folder, watch tells what happens there, and SIGTERM ends both", async () => {
  using folder = temporaryFolder();
  const made = ["schedule", "add", "Daily", "--cron", "@daily", "--input", "a.csv", "--json"];
  const { out } = await runCommand(folder.path, made);
  const serve = ["serve", "--dir", ".gptrunner", "--port", "0", "--json"];
  const served = startCommand(folder.path, serve, { env: { LOG_LEVEL: "info" } });
  const url = await served.printed(/"url":"(http[^"]+)"/);
  const key = readFileSync(join(folder.path, ".gptrunner", "key"), "utf8").trim();
  const env = { GPTRUNNER_SERVER: url, GPTRUNNER_KEY: key };
  const watching = startCommand(folder.path, ["watch", "--json"], { env });
  await until(async () => {
    await runCommand(folder.path, ["ask", "Hi", "--simulate"], { env });
    return watching.hasPrinted(/"task\.completed"/);
  });
  const list = await runCommand(folder.path, ["schedule", "ls", "--json"], { env });
  expect(JSON.parse(list.out)).toMatchObject([{ id: JSON.parse(out).id, isActive: true }]);
  watching.kill("SIGTERM");
  served.kill("SIGTERM");
  const end = await served.ended();
  expect([(await watching.ended()).code, end.code]).toEqual([143, 0]);
  // Each line of the output is an announcement; the log is on the error output.
  const [first, ...others] = end.out
    .trim()
    .split("\n")
    .map((line): Json => JSON.parse(line));
  expect(first).toMatchObject({ event: "listening", role: "all", adminKey: null });
  expect(others).toEqual([{ event: "stopping", signal: "SIGTERM" }, { event: "stopped" }]);
  expect(end.err).toContain('"level":"info"');

  const wrong = await runCommand(folder.path, ["serve", "--json"], { env: { PORT: "99999" } });
  expect([wrong.code, wrong.out, JSON.parse(wrong.err)]).toEqual([
    1,
    "",
    {
      error: {
        code: "FAILED",
        message: "The environment is not usable",
        details: { problems: ["PORT: must be a whole number from 0 to 65535"] },
      },
    },
  ]);
});

test("the command waits for a server that goes away, the batch continues there, and Ctrl-C pauses it", async () => {
  const held = Promise.withResolvers<void>();
  await using provider = await startProvider(async ({ prompt }) => {
    if (prompt === "b") await held.promise;
    return undefined;
  });
  await using app = await startServer(provider.env);
  let isAway = false;
  let missed = 0;
  await using front = startFront((request) => {
    if (isAway) missed++;
    return isAway ? undefined : passOn(app, request);
  });
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "prompt\na\nb\nc\n");
  const env = { GPTRUNNER_KEY: KEY };
  const args = ["run", "p.csv", "--server", front.url, "--concurrency", "1"];
  const running = startCommand(folder.path, args, { env });
  await until(() => provider.requests.length === 2);
  isAway = true;
  await until(() => missed >= 2);
  isAway = false;
  running.kill("SIGINT");
  await running.said(/Pausing/);
  const paused = await running.ended();
  expect([paused.code, paused.err]).toEqual([130, expect.stringContaining("Paused at 1 of 3")]);
  held.resolve();

  isAway = true;
  const impatient = await runCommand(folder.path, [...args, "--patience", "0"], { env });
  expect([impatient.code, impatient.err]).toEqual([6, expect.stringContaining("502")]);
  isAway = false;
  const ended = await runCommand(folder.path, args, { env });
  expect([ended.code, ended.err]).toEqual([0, expect.stringContaining("3 of 3 answered")]);
  expect(provider.requests.length).toBe(3);
});

test("the command waits for limits to end, and reports an address that is not a GPT Task Runner", async () => {
  let requests = 0;
  const limited = JSON.stringify({
    success: false,
    error: { code: "RATE_LIMIT_EXCEEDED", message: "too many", details: {} },
  });
  const empty = JSON.stringify({ success: true, data: { batches: [] } });
  await using front = startFront(() =>
    requests++ === 0
      ? new Response(limited, { status: 429, headers: { "retry-after": "1" } })
      : new Response(empty),
  );
  await using page = startFront(() => new Response("<html>", { status: 200 }));
  await using moved = startFront(() => Response.redirect("https://example.com/", 301));
  using folder = temporaryFolder();
  const list = (server: string) =>
    runCommand(folder.path, ["batch", "ls", "--server", server, "--patience", "5"], {
      env: { GPTRUNNER_KEY: KEY },
    });
  const [waited, none, elsewhere, bad] = await Promise.all([
    list(front.url),
    list(page.url),
    list(moved.url),
    list("localhost:3000"),
  ]);
  expect(codes([waited, none, elsewhere, bad])).toEqual([0, 6, 2, 2]);
  expect([requests, waited.out]).toEqual([2, "There are no batches\n"]);
  expect(elsewhere.err).toContain("https://example.com/");
});
