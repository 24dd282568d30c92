import { expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startInTerminal } from "../support/command-line.ts";
import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { KEY, startServer } from "../support/server.ts";

const CTRL_C = "\u0003";
/** Back to the beginning of the line, and clears it. */
const OVER = "\r\u001B[2K";
const END_OF_INPUT = "\u0004";

test("run in a terminal asks, shows one live line, and ends with latency, failures and the retry", async () => {
  const opened = Promise.withResolvers<void>();
  let isLimited = true;
  await using provider = await startProvider(async ({ prompt }, response) => {
    await opened.promise;
    if (prompt.includes("Nowhere")) return fail(response, 400, { message: "no such place" });
    if (!prompt.includes("Lima") || !isLimited) return undefined;
    return fail(response, 429, { message: "slow down" }, { "retry-after-ms": "200" });
  });
  await using app = await startServer({ ...provider.env, DEFAULT_MODEL: "gpt-4o" });
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "prompt\nParis\nNowhere\nOslo\nLima\nRome\n");
  const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
  const args = ["run", "p.csv", "--concurrency", "1"];

  const running = startInTerminal(folder.path, args, env);
  await running.said(/Estimate: 5 rows to ask; [^\r]*\r\n[^\r]*Run it\? \[y\/N\] /);
  expect(provider.requests).toEqual([]);
  running.type("y\r");
  await running.said(/░{24} 0\/5 0 %/);
  opened.resolve();
  await running.said(
    /█{14}░{10} 3\/5 60 % {2}[\d.]+\/s {2}\$0\.\d+ {2}[^\r]+ left {2}1 failed {2}waits for the provider's rate limit until [\d:]{8} UTC/,
  );
  isLimited = false;
  const { code, text } = await running.ended();
  expect(code).toBe(3);
  // Each line was drawn over the one before it; the last one stays.
  expect(text).toContain(`${OVER}${"█".repeat(14)}`);
  const closing = text.slice(text.lastIndexOf(OVER));
  expect(closing).toMatch(/█{24} 5\/5 100 %/);
  expect(closing).toMatch(
    /Rows +4 of 5 answered, 1 failed\r\n +Cost +\$0\.\d+ \(40 tokens in, 20 out\)/,
  );
  expect(closing).toMatch(/Latency +p50 \d+\.\d\d s, p95 \d+\.\d\d s\r\n/);
  expect(closing).toMatch(/1 row failed: \S+: .*no such place/);
  expect(closing).toMatch(
    /To run what failed again:\r\n {2}gptrunner batch retry run-\w+ .*--out p-results\.csv --force\r\n/,
  );
});

test("run in a terminal starts nothing if the answer is no, the end of input or Ctrl-C", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
  const decline = async (keys: string) => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "p.csv"), `prompt\n${JSON.stringify(keys)}\n`);
    const running = startInTerminal(folder.path, ["run", "p.csv"], env);
    await running.said(/Run it\? \[y\/N\] /);
    running.type(keys);
    const { code, text } = await running.ended();
    return [
      code,
      /Nothing was started|Interrupted; nothing was started/.exec(text)?.[0],
      existsSync(join(folder.path, "p-results.csv")),
    ];
  };
  const declined = await Promise.all(["n\r", END_OF_INPUT, CTRL_C].map(decline));
  const said = "Nothing was started";
  expect(declined).toEqual([
    [4, said, false],
    [4, said, false],
    [130, "Interrupted; nothing was started", false],
  ]);
  expect(provider.requests).toEqual([]);
  const { batches } = (await app.get("/batches")).body.data;
  expect(new Set(batches.map(({ status }: { status: string }) => status))).toEqual(
    new Set(["pending"]),
  );
});
