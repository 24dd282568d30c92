import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Context } from "../../src/context.ts";
import { createEngine } from "../../src/engine/engine.ts";
import { createLiveBooks } from "../../src/engine/live/books.ts";
import { createLive } from "../../src/engine/live/live.ts";
import type { AppError } from "../../src/errors.ts";
import { endForsaken } from "../../src/store/live-calls.ts";
import { addNode, forgetNode } from "../../src/store/nodes.ts";
import { chatAnswer, hang } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

const BUDGET = 3;
const FACTS = { isRunner: true, keys: [], filesId: null, leaseMs: 15_000 };

/** A server with two providers of the same models, which take one call at a time. */
async function startWithProviders() {
  const folder = mkdtempSync(join(tmpdir(), "providers-"));
  const PROVIDERS_FILE = join(folder, "providers.json");
  const same = { baseUrl: "http://127.0.0.1:9/v1", models: ["gpt-*"], maxConcurrency: 1 };
  const providers = [
    { ...same, name: "first" },
    { ...same, name: "second" },
  ];
  writeFileSync(PROVIDERS_FILE, JSON.stringify({ providers }));
  try {
    return await startServer({ PROVIDERS_FILE });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function addOne({ ctx }: TestServer): Promise<number> {
  const { joined } = await ctx.writer.write({ joined: addNode(FACTS) });
  return joined.rows[0]?.seq ?? 0;
}

/** Another process of a fleet that makes live calls, and a key with a budget. The test answers its calls. */
async function givenProcess(app: TestServer) {
  const node = await addOne(app);
  const state = {
    aliveSince: -Infinity,
    reserved: 0,
    failures: 0,
    isEndless: false,
    isCounting: false,
  };
  /** How many reservations there were when each call was sent. The first call is answered by the test. */
  const sent: number[] = [];
  const first = Promise.withResolvers<Response>();
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      if ("once" in unit && state.failures-- > 0) throw new Error("the database is away");
      const results = await app.ctx.writer.write(unit, options);
      if ("made" in unit) state.reserved++;
      return results;
    },
  };
  const tokens: Context["tokens"] = {
    ...app.ctx.tokens,
    async measure(bodies, mostMs) {
      if (state.isCounting && mostMs > 1000) await hang();
      return app.ctx.tokens.measure(bodies, mostMs);
    },
  };
  const ctx: Context = { ...app.ctx, writer, tokens, live: { ...app.ctx.live, node } };
  const isAlive = (since?: number) => since === undefined || since >= state.aliveSince;
  const nothing = async () => {};
  const membership = { node: () => node, isAlive, start: nothing, stop: nothing };
  const { upstreams } = createEngine(ctx, membership);
  const fetch = async (_: unknown, init?: RequestInit) => {
    const isFirst = sent.push(await reservations(app)) === 1;
    if (!isFirst) return answered();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(new DOMException("aborted", "AbortError"));
    init?.signal?.addEventListener("abort", abort);
    const answer = await Promise.race([first.promise, aborted.promise]);
    return state.isEndless ? endless(answer, aborted.promise) : answer;
  };
  const outside = { clock: ctx.clock, random: ctx.random, fetch };
  const live = createLive(ctx, { upstreams, isAlive, onFreed: () => {}, outside });
  await live.start();
  const payer = await givenPayer(app);
  const body = { model: "gpt-4", messages: [{ role: "user", content: "x" }] };
  return {
    state,
    sent,
    live,
    payer,
    answerFirst: first.resolve,
    call: ({ hasBudget }: { hasBudget: boolean }) =>
      live.call({
        endpoint: "/v1/chat/completions",
        model: body.model,
        text: JSON.stringify(body),
        body,
        caller: { key: payer, hasBudget },
        trace: null,
        taskId: null,
        usesCache: false,
        signal: new AbortController().signal,
      }),
    /** Its heartbeats do not arrive for a lease, so another process ends its reservations. */
    async seemsDead(): Promise<void> {
      await app.ctx.writer.write({ forgotten: forgetNode(node), ended: endForsaken() });
      state.aliveSince = app.ctx.clock.monotonic();
    },
  };
}

async function givenPayer({ ctx, post }: TestServer): Promise<number> {
  const { body } = await post("/api-keys", { name: "k", monthlyBudgetUsd: BUDGET });
  const sql = "SELECT seq FROM api_keys WHERE id = ?";
  const { rows } = await ctx.client.execute({ sql, args: [body.data.id] });
  return Number(rows[0]?.["seq"]);
}

/** A live call at yet another process, which costs the whole budget. */
async function spendElsewhere(app: TestServer, payer: number): Promise<void> {
  const node = await addOne(app);
  const ctx = { ...app.ctx, live: { ...app.ctx.live, node } };
  const books = createLiveBooks(ctx, () => true);
  await books.start();
  const reservation = await books.reserve(payer, BUDGET, new AbortController().signal);
  const tokens = { promptTokens: 1, completionTokens: 1, cachedTokens: 0, reasoningTokens: 0 };
  const times = { startedAt: 0, at: 1 };
  const what = { payer, model: "gpt-4", provider: "first", failure: null };
  books.end({ ...what, ...tokens, ...times, costUsd: BUDGET, reservation });
  await books.stop(0);
}

async function reservations({ ctx }: TestServer): Promise<number> {
  const { rows } = await ctx.client.execute("SELECT count(*) AS n FROM live_calls");
  return Number(rows[0]?.["n"]);
}

/** How many live calls the key has paid for. */
async function paid({ ctx }: TestServer): Promise<number> {
  const { rows } = await ctx.client.execute("SELECT total(tasks) AS n FROM api_key_usage");
  return Number(rows[0]?.["n"]);
}

/** How many tokens of prompts the key has paid for. */
async function promptTokens({ ctx }: TestServer): Promise<number> {
  const { rows } = await ctx.client.execute("SELECT total(prompt_tokens) AS n FROM api_key_usage");
  return Number(rows[0]?.["n"]);
}

/** A stream whose pieces arrive, and that does not end until it is aborted. */
function endless(answer: Response, aborted: Promise<never>): Response {
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for await (const piece of answer.body ?? []) controller.enqueue(piece);
      await aborted.catch((error: unknown) => controller.error(error));
    },
  });
  return new Response(body, answer);
}

/** One call was paid for, its prompt included, and nothing is reserved any more. */
async function expectCharged(app: TestServer): Promise<void> {
  expect([await paid(app), await reservations(app)]).toEqual([1, 0]);
  expect(await promptTokens(app)).toBeGreaterThan(0);
}

const streamed = () => {
  const piece = { id: "c", choices: [{ index: 0, delta: { content: "some words" } }] };
  return new Response(`data: ${JSON.stringify(piece)}\n\n`, {
    headers: { "content-type": "text/event-stream" },
  });
};

const answered = () =>
  Response.json(chatAnswer({ prompt: "x", body: { model: "gpt-4" } }), { status: 200 });
const broken = () => Response.json({ error: { message: "broken" } }, { status: 500 });

/** A call that waits for its turn, with a reservation, behind a call without one. */
async function givenWaiting({ state, sent, call }: Awaited<ReturnType<typeof givenProcess>>) {
  const first = call({ hasBudget: false });
  await until(() => sent.length === 1 || undefined);
  const second = call({ hasBudget: true });
  await until(() => state.reserved === 1 || undefined);
  const outcome = second.then(
    ({ status }) => status,
    ({ code }) => code,
  );
  return { first, second: outcome };
}

test("a live call whose reservation others ended while it waited for its turn does not spend their money", async () => {
  await using app = await startWithProviders();
  const process = await givenProcess(app);
  const { first, second } = await givenWaiting(process);

  await process.seemsDead();
  await spendElsewhere(app, process.payer);
  process.answerFirst(answered());

  expect([(await first).status, await second]).toEqual([200, "QUOTA_EXCEEDED"]);
  expect(process.sent).toHaveLength(1);
  await process.live.stop(0);
});

test("a live call whose reservation others ended while it waited for its turn reserves money again", async () => {
  await using app = await startWithProviders();
  const process = await givenProcess(app);
  const { first, second } = await givenWaiting(process);

  await process.seemsDead();
  process.answerFirst(answered());

  expect([(await first).status, await second]).toEqual([200, 200]);
  expect(process.sent).toEqual([0, 1]);
  await process.live.stop(0);
  expect(await reservations(app)).toBe(0);
});

test("a live call whose reservation others ended during its first attempt makes no second one", async () => {
  await using app = await startWithProviders();
  const { sent, live, call, seemsDead, answerFirst } = await givenProcess(app);
  const only = call({ hasBudget: true });
  await until(() => sent.length === 1 || undefined);

  await seemsDead();
  answerFirst(broken());

  expect((await only).status).toBe(500);
  expect(sent).toHaveLength(1);
  await live.stop(0);
});

test("a live call that waits for its turn when its process stops is refused, and is not sent later", async () => {
  await using app = await startWithProviders();
  const process = await givenProcess(app);
  const { first, second } = await givenWaiting(process);

  const stopping = process.live.stop(5000);
  expect(await second).toBe("SERVICE_UNAVAILABLE");
  process.answerFirst(answered());

  expect((await first).status).toBe(200);
  await stopping;
  expect(process.sent).toHaveLength(1);
  expect([await paid(app), await reservations(app)]).toEqual([1, 0]);
});

test("a live call whose first provider fails while its process stops is not sent to a second one", async () => {
  await using app = await startWithProviders();
  const { sent, live, call, answerFirst } = await givenProcess(app);
  const only = call({ hasBudget: true });
  await until(() => sent.length === 1 || undefined);

  const stopping = live.stop(5000);
  answerFirst(broken());

  expect((await only).status).toBe(500);
  await stopping;
  expect(sent).toHaveLength(1);
  expect([await paid(app), await reservations(app)]).toEqual([1, 0]);
});

test("a live call that outlasts the grace period of a stop is cut off, and its prompt is paid for", async () => {
  await using app = await startWithProviders();
  const { sent, live, call } = await givenProcess(app);
  const only = call({ hasBudget: true }).catch((error: AppError) => error.code);
  await until(() => sent.length === 1 || undefined);

  await live.stop(0);

  expect(await only).toBe("SERVICE_UNAVAILABLE");
  await expectCharged(app);
});

test("a streamed answer that outlasts the grace period of a stop is cut off, and what has arrived is paid for", async () => {
  await using app = await startWithProviders();
  const { state, live, call, answerFirst } = await givenProcess(app);
  state.isEndless = true;
  answerFirst(streamed());
  const { body } = await call({ hasBudget: true });
  let text = "";
  let stopping: Promise<void> | undefined;
  for await (const bytes of body as AsyncIterable<Uint8Array>) {
    text += new TextDecoder().decode(bytes);
    stopping ??= live.stop(0);
  }
  await stopping;

  expect(text).toContain("The server stopped before the provider had answered completely");
  await expectCharged(app);
});

test("an answer whose tokens are still being counted when a process stops is paid for", async () => {
  await using app = await startWithProviders();
  const { state, live, call, answerFirst } = await givenProcess(app);
  state.isCounting = true;
  answerFirst(Response.json({ ...chatAnswer({ prompt: "x", body: {} }), usage: undefined }));
  await call({ hasBudget: true });

  await live.stop(0);

  await expectCharged(app);
});

test("what the last live calls of a process have cost is stored although the database refuses it at first", async () => {
  await using app = await startWithProviders();
  const { state, live, call, answerFirst } = await givenProcess(app);
  answerFirst(answered());
  state.failures = 1;
  await call({ hasBudget: true });

  await live.stop(0);

  expect([await paid(app), await reservations(app)]).toEqual([1, 0]);
});
