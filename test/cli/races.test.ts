import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { connect } from "../../src/cli/connect.ts";
import { listenForInterrupt } from "../../src/cli/interrupt.ts";
import { follow } from "../../src/cli/run/follow.ts";
import { createTerminal } from "../../src/cli/terminal.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { runCommand } from "../support/command-line.ts";
import { passOn, startFront } from "../support/front.ts";
import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer } from "../support/server.ts";

/** What other clients of the same server and folder do meanwhile. */

const statusIn = async (response: Response): Promise<string | undefined> =>
  ((await response.clone().json()) as Json).data?.status;

const isLook = ({ method, url }: Request) => method === "GET" && /\/batches\/[^/]+\?/.test(url);

test("results are not written while another client has what failed run again", async () => {
  const held = Promise.withResolvers<void>();
  await using provider = await startProvider(async ({ prompt, earlier }, response) => {
    if (prompt !== "b") return undefined;
    if (earlier === 0) return fail(response, 400, { message: "not yet" });
    await held.promise;
    return undefined;
  });
  await using app = await startServer(provider.env);
  let isRetried = false;
  await using front = startFront(async (request) => {
    const answer = await passOn(app, request);
    if (!isLook(request)) return answer;
    const status = await statusIn(answer);
    if (status === "completed" && !isRetried) {
      isRetried = true;
      const id = /batches\/([^?]+)/.exec(request.url)?.[1];
      expect((await app.post(`/batches/${id}/retry`, {})).status).toBe(200);
    } else if (status === "running" && isRetried) held.resolve();
    return answer;
  });
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "prompt\na\nb\n");
  const args = ["run", "p.csv", "--server", front.url];
  const run = await runCommand(folder.path, args, { env: { GPTRUNNER_KEY: KEY } });
  held.resolve();

  expect([run.code, run.err]).toEqual([0, expect.stringContaining("2 of 2 answered")]);
  expect(readFileSync(join(folder.path, "p-results.csv"), "utf8")).toContain("re: b");
});

test("an interrupt as a batch ends leaves it ended", async () => {
  await using app = await startServer();
  const body = { id: "b", tasks: [{ prompt: "a" }] };
  await app.post("/batches", body);
  await app.post("/batches/b/execute", { isDryRun: true });
  await app.finished("b");
  const clock = createSystemClock();
  const connection = await connect({ server: app.url, key: KEY }, { clock });
  const interrupt = { ...listenForInterrupt(clock), signal: AbortSignal.abort() };
  const tools = { clock, terminal: createTerminal(), interrupt, trouble: () => null };

  const followed = await follow(connection, tools, "b", null);
  interrupt.stop();

  expect(followed).toMatchObject({ status: "completed", isInterrupted: false });
});
