import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { connect } from "../../src/cli/connect.ts";
import { listenForInterrupt } from "../../src/cli/interrupt.ts";
import { follow } from "../../src/cli/run/follow.ts";
import { createTerminal } from "../../src/cli/terminal.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { type Outcome, runCommand, startCommand } from "../support/command-line.ts";
import { passOn, startFront } from "../support/front.ts";
import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer, type TestServer, until } from "../support/server.ts";

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

/** A provider that answers `n` calls, and holds the others until they are released. */
async function startHolding(n: number) {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const provider = await startProvider(async () => {
    if (provider.requests.length <= n) return undefined;
    reached.resolve();
    await released.promise;
    return undefined;
  });
  return {
    provider,
    reached: reached.promise,
    release: () => released.resolve(),
    [Symbol.asyncDispose]: () => provider[Symbol.asyncDispose](),
  };
}

test.each(["of a server", "of a folder"])(
  "a trial %s that was interrupted counts the rows that it had begun",
  async (where) => {
    await using holding = await startHolding(2);
    const { provider, reached, release } = holding;
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "2" });
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "p.csv"), "prompt\na\nb\nc\nd\ne\nf\ng\nh\n");
    const isServer = where === "of a server";
    const env: Record<string, string> = isServer
      ? { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY }
      : { ...provider.env, MAX_CONCURRENCY: "2" };
    const args = ["run", "p.csv", "--limit", "6"];

    const first = startCommand(folder.path, args, { env });
    await reached;
    first.kill("SIGINT");
    const interrupted = await first.ended();
    const second = startCommand(folder.path, args, { env });
    await second.said(/Rows of an earlier trial are under way/);
    release();
    const last = await second.ended();

    expect([interrupted.code, interrupted.err]).toEqual([
      130,
      expect.stringMatching(/Interrupted at \d of 6 rows; those already begun go on (at|with) the/),
    ]);
    expect(interrupted.err).not.toContain("Paused");
    expect([last.code, provider.counts.size]).toEqual([0, 6]);
    if (isServer) expect(provider.requests.length).toBe(6);
  },
);

test("a trial counts rows that were begun and wait to be tried again", async () => {
  const state = { isThrottled: true };
  await using provider = await startProvider((_request, response) =>
    state.isThrottled ? fail(response, 429, {}, { "retry-after": "2" }) : undefined,
  );
  await using app = await startServer(provider.env);
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "prompt\na\nb\nc\nd\ne\nf\ng\nh\n");
  const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: KEY };
  const args = ["run", "p.csv", "--limit", "3"];

  const first = startCommand(folder.path, args, { env });
  await until(() => provider.requests.length > 0 || undefined);
  await until(async () => {
    const [batch] = (await app.get("/batches")).body.data.batches;
    return (await app.get(`/batches/${batch.id}`)).body.data.progress.running === 0 || undefined;
  });
  first.kill("SIGINT");
  await first.ended();
  const second = startCommand(folder.path, args, { env });
  await second.said(/Rows of an earlier trial are under way/);
  state.isThrottled = false;

  expect((await second.ended()).code).toBe(0);
  expect(provider.counts.size).toBe(3);
});

type Act = (app: TestServer, batch: string, release: () => void) => Promise<unknown>;

const startAndPause: Act = async (app, batch) => {
  await app.post(`${batch}/execute`);
  expect((await app.post(`${batch}/pause`)).status).toBe(200);
};

/** Runs three rows while other clients act: each time just before the first request whose path ends with a name. */
async function runWhile(acts: Record<string, Act>, options: string[] = []) {
  await using holding = await startHolding(0);
  await using app = await startServer({ ...holding.provider.env, MAX_CONCURRENCY: "1" });
  const left = new Map(Object.entries(acts));
  let path = "";
  await using front = startFront(async (request) => {
    const [, batch, name = ""] = /(\/batches\/run-\w+)\/(\w+)/.exec(request.url) ?? [];
    path = batch ?? path;
    const act = left.get(name);
    left.delete(name);
    await act?.(app, path, holding.release);
    if (left.size === 0) holding.release();
    return passOn(app, request);
  });
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "prompt\na\nb\nc\n");
  const args = ["run", "p.csv", "--server", front.url, ...options];
  const { code, err } = await runCommand(folder.path, args, { env: { GPTRUNNER_KEY: KEY } });
  const { status, config } = (await app.get(path)).body.data;
  const hasResults = existsSync(join(folder.path, "p-results.csv"));
  return { outcome: [code, status, hasResults], err, config };
}

test("a batch that others start and pause as the command starts it is resumed", async () => {
  const { outcome, err } = await runWhile({ execute: startAndPause });
  expect(outcome).toEqual([0, "completed", true]);
  expect(err).not.toContain("Paused");
});

test("a batch that others pause and end as the command resumes it gets its results", async () => {
  const { outcome } = await runWhile({
    estimate: startAndPause,
    async resume(app, batch, release) {
      await app.post(`${batch}/resume`);
      release();
      await app.finished(batch.replace("/batches/", ""));
    },
  });
  expect(outcome).toEqual([0, "completed", true]);
});

test("the caps of a command hold, whatever others set while it asked", async () => {
  const patch: Act = (app, batch) => app.patch(batch, { maxConcurrency: 9, maxCostUsd: 9 });
  const options = ["--concurrency", "2", "--max-cost", "1", "--model", "gpt-4o"];
  const { outcome, config } = await runWhile({ estimate: patch }, options);
  expect(outcome).toEqual([0, "completed", true]);
  expect(config).toMatchObject({ maxConcurrency: 2, maxCostUsd: 1 });
});

test("results replace no file that appears while they are downloaded", async () => {
  await using app = await startServer();
  await app.post("/batches", { id: "b", tasks: [{ prompt: "a" }] });
  await app.post("/batches/b/execute", { isDryRun: true });
  await app.finished("b");
  using folder = temporaryFolder();
  const path = join(folder.path, "r.csv");
  const isBegun = () => readdirSync(folder.path).some((name) => name.endsWith(".tmp"));
  await using front = startFront((request) => {
    if (!request.url.includes("/results")) return passOn(app, request);
    const body = new ReadableStream<string>({
      async start(controller) {
        controller.enqueue("prompt\n");
        await until(isBegun);
        writeFileSync(path, "precious");
        controller.enqueue("a\n");
        controller.close();
      },
    });
    return new Response(body.pipeThrough(new TextEncoderStream()));
  });
  const results = (...options: string[]) =>
    runCommand(
      folder.path,
      ["batch", "results", "b", "--out", "r.csv", "--server", front.url, ...options],
      { env: { GPTRUNNER_KEY: KEY } },
    );

  const refused = await results();
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("r.csv exists")]);
  expect(readFileSync(path, "utf8")).toBe("precious");
  expect(isBegun()).toBe(false);
  expect((await results("--force")).code).toBe(0);
  expect(readFileSync(path, "utf8")).toBe("prompt\na\n");
});

const isCreation = ({ method, url }: Request) => method === "POST" && url.endsWith("/batches");

test("a creation that goes on at the server after its answer was lost is waited for, with its upload", async () => {
  await using app = await startServer();
  const creations: Request[] = [];
  let isRefused = false;
  await using front = startFront(async (request) => {
    if (isCreation(request)) {
      const { url, headers } = request;
      const body = await request.text();
      const creation = () => new Request(url, { method: "POST", headers, body });
      creations.push(creation());
      if (creations.length === 1) return new Response("lost", { status: 502 });
      // The rows of the first request have their ids before its batch can be found.
      const row = `${JSON.parse(body).id}.p`;
      await app.post("/tasks", { id: row, prompt: "a" });
      const refusal = await passOn(app, creation());
      isRefused = refusal.status === 400;
      await app.del(`/tasks/${row}`);
      return refusal;
    }
    const answer = await passOn(app, request);
    const [first] = creations;
    if (first && isRefused && isLook(request)) {
      isRefused = false;
      expect((await passOn(app, first)).status).toBe(201);
    }
    return answer;
  });
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "id,prompt\np,a\n");
  const args = ["run", "p.csv", "--simulate", "--server", front.url];
  const run = await runCommand(folder.path, args, { env: { GPTRUNNER_KEY: KEY } });

  expect([run.code, run.err]).toEqual([0, expect.stringContaining("1 of 1 answered")]);
  const keys = creations.map(({ headers }) => headers.get("idempotency-key"));
  expect(keys).toEqual([expect.stringMatching(/^cli-run-\w+$/), keys[0]]);
});

test("of two equal runs that create the batch at once, the later one uses that of the first", async () => {
  await using app = await startServer();
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "p.csv"), "id,prompt\np,a\n");
  const run = (server: string, out: string) => {
    const args = ["run", "p.csv", "--simulate", "--server", server, "--out", out];
    return runCommand(folder.path, args, { env: { GPTRUNNER_KEY: KEY } });
  };
  const others: Outcome[] = [];
  await using front = startFront(async (request) => {
    if (isCreation(request)) others.push(await run(app.url, "other.csv"));
    return passOn(app, request);
  });
  const late = await run(front.url, "late.csv");

  expect([late.code, ...others.map(({ code }) => code)]).toEqual([0, 0]);
  const read = (name: string) => readFileSync(join(folder.path, name), "utf8");
  expect(read("late.csv")).toBe(read("other.csv"));
  expect((await app.get("/batches")).body.data.batches).toHaveLength(1);
  expect((await app.get("/files")).body.data.files).toEqual([]);
});

test("an interrupt of ask is reported as one, though the answer comes as it cancels", async () => {
  await using holding = await startHolding(0);
  await using app = await startServer(holding.provider.env);
  await using front = startFront(async (request) => {
    const task = /tasks\/(.+)\/cancel$/.exec(request.url)?.[1];
    if (task !== undefined) {
      holding.release();
      await app.ended(task);
    }
    return passOn(app, request);
  });
  using folder = temporaryFolder();
  const args = ["ask", "a", "--server", front.url];
  const asking = startCommand(folder.path, args, { env: { GPTRUNNER_KEY: KEY } });
  await holding.reached;
  asking.kill("SIGINT");

  expect(await asking.ended()).toEqual({ code: 130, out: "", err: "Interrupted\n" });
});

test("commands that start at once in a new folder agree on its key", async () => {
  using folder = temporaryFolder();
  const list = () => runCommand(folder.path, ["batch", "ls"]);
  const outcomes = await Promise.all([list(), list(), list()]);
  // Only one at a time can use the folder.
  expect(outcomes.filter(({ code }) => code !== 0 && code !== 6)).toEqual([]);
  const files = readdirSync(join(folder.path, ".gptrunner"));
  expect(files.filter((name) => name.startsWith("key"))).toEqual(["key"]);
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
