import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { toPrettyLine } from "../../src/lib/log-format.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, until } from "../support/server.ts";

test("the log connects a request with the end of its execution", async () => {
  await using provider = await startProvider(({ prompt }, response) =>
    prompt === "bad" ? fail(response, 400) : undefined,
  );
  using folder = temporaryFolder();
  await using app = await startProcess({
    DATA_DIR: folder.path,
    ...provider.env,
    LOG_LEVEL: "info",
  });
  await app.post("/tasks", { id: "good", prompt: "good" });
  await app.post("/tasks", { id: "bad", prompt: "bad" });
  for (const id of ["good", "bad"])
    await app.post(`/tasks/${id}/execute`, undefined, { "x-request-id": `start-${id}` });
  await app.ended("good");
  await app.ended("bad");
  await app.kill("SIGTERM");

  const lines: Json[] = `${app.output.stdout}\n${app.output.stderr}`
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const started = (id: string) => lines.filter(({ requestId }) => requestId === `start-${id}`);
  expect([started("good").length, started("bad").length]).toEqual([1, 1]);
  const ends = lines.filter(({ logger }) => logger === "gptrunner.executions");
  expect(ends).toHaveLength(2);
  expect(ends).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        level: "info",
        executionId: started("good")[0].executionId,
        status: "completed",
        model: "gpt-4o-mini",
        attempts: 1,
      }),
      expect.objectContaining({
        level: "warning",
        executionId: started("bad")[0].executionId,
        code: "PROVIDER_REJECTED_REQUEST",
        providerStatus: 400,
        attempts: 1,
      }),
    ]),
  );
});

test("a timeline.json that cannot be read is reported, and written again", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "timeline.json");
  writeFileSync(path, '{"epoch": 1, "la');
  await using app = await startProcess({ DATA_DIR: folder.path });
  await until(
    () => app.output.stderr.includes("cannot be read, so that it is not known") || undefined,
  );
  expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ last: 0 });
  await app.kill("SIGTERM");
  await using again = await startProcess({ DATA_DIR: folder.path });
  expect(again.output.stderr).toBe("");
});

test.each(["process.exit(3)", "throw new Error('a bug')"])(
  "no line is lost when the process ends with %s",
  async (end) => {
    const script = `
      const { configureLogging } = await import("./src/logging.ts");
      const { getLogger } = await import("@logtape/logtape");
      await configureLogging({ logLevel: "info", logFormat: "json" });
      const log = getLogger(["gptrunner", "test"]);
      for (let i = 0; i < 2000; i++) log.info("line {i}", { i });
      setImmediate(() => {
        log.info("line {i}", { i: 2000 });
        ${end};
      });`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "ignore" });
    const text = await new Response(child.stdout).text();
    expect(
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).i),
    ).toEqual(Array.from({ length: 2001 }, (_, i) => i));
    expect(await child.exited).toBeGreaterThan(0);
  },
);

test("an unhandled rejection is logged whole and ends nothing; an uncaught exception ends the process with 1", async () => {
  using folder = temporaryFolder();
  // A process whose server fails in a way that no code handles.
  const script = `
    const { runProcess } = await import("./src/process.ts");
    await runProcess(1, () => {
      const cause = new Error("the disk is gone");
      Promise.reject(new Error("a bug", { cause }));
      Promise.reject("not even an error");
      let seen = 0;
      process.on("unhandledRejection", () => {
        if (++seen < 2) return;
        setTimeout(() => {
          console.log("still here");
          throw new Error("a worse bug", { cause });
        });
      });
      return { port: 1, stop: async () => {} };
    });`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    env: { PATH: process.env["PATH"] ?? "", DATA_DIR: folder.path, API_KEYS: "k", WORKERS: "1" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, complained] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(await child.exited).toBe(1);
  expect(said).toContain("still here");
  const lines: Json[] = complained
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  expect(lines.map(({ level, error }) => [level, error.message])).toEqual([
    ["error", "a bug"],
    ["error", "not an error: 'not even an error'"],
    ["fatal", "a worse bug"],
  ]);
  for (const { error } of [lines[0], lines[2]])
    expect(error).toMatchObject({
      stack: expect.stringContaining("at "),
      cause: { message: "the disk is gone", stack: expect.stringContaining("at ") },
    });
});

test("with LOG_FORMAT=pretty the facts that are not in the message end the line, and the stack of an error follows", () => {
  const toLine = toPrettyLine(false);
  const record = {
    category: ["gptrunner", "http"],
    level: "info" as const,
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    rawMessage: "{method} in {ms} ms",
    message: ["", "GET", " in ", 2, " ms"],
    properties: { method: "GET", ms: 2, requestId: "req-1" },
  };
  expect(toLine(record)).toBe("03:04:05.006 INF http       GET in 2 ms requestId=req-1");
  const error = new Error("no such table\nparams: secret");
  const failed = { ...record, level: "error" as const, rawMessage: "{error}", message: [error] };
  const [first, second] = toLine({ ...failed, properties: { error } }).split("\n");
  expect(first).toBe("03:04:05.006 ERR http       Error: no such table");
  expect(second).toMatch(/^ {2}Error: no such table/);
});

test.each([
  ["json", 8],
  ["pretty", 5],
])(
  "with LOG_FORMAT=%s an entry is one line, which holds no secret and no character that a terminal obeys",
  async (logFormat, redactions) => {
    const script = `
      const { configureLogging } = await import("./src/logging.ts");
      const { getLogger } = await import("@logtape/logtape");
      const secrets = ['quoted "secret"', "plain-secret"];
      await configureLogging({ logLevel: "info", logFormat: "${logFormat}" }, secrets);
      const log = getLogger(["gptrunner", "test"]);
      log.info("{path} is asked", { path: "/a\\n{}\\u001b[31m\\u0085\\u202e/" + secrets.join("/"), key: "gtr_${"0".repeat(40)}" });
      log.info("{name}", { name: "sk-abcdefgh12345678", signer: "whsec_abcdefgh1234" });`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
    const text = await new Response(child.stdout).text();

    expect(await new Response(child.stderr).text()).toBe("");
    expect(text.trimEnd().split("\n")).toHaveLength(2);
    expect(text).not.toMatch(/quoted|plain-secret|gtr_0|sk-abc|whsec_abc/);
    expect(text.match(/\[redacted\]/g)).toHaveLength(redactions);
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202A-\u202E]/u);
  },
);
