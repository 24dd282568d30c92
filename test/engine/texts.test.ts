import { describe, expect, test } from "bun:test";

import { CHUNKS } from "../../src/domain/chunks.ts";
import { afterRead } from "../support/interleave.ts";
import { startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

test("prompts that are longer than an answer of the database are sent whole", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env, { chunks: { ...CHUNKS, answerBytes: 2000 } });
  const prompts = [100, 1500, 1500, 9000].map((length, i) => `${i}é`.repeat(length / 2));
  await app.post("/batches", { id: "b", tasks: prompts.map((prompt) => ({ prompt })) });
  await app.post("/batches/b/execute");
  expect(await app.finished("b")).toMatchObject({ progress: { completed: 4 } });
  expect(provider.requests.map(({ prompt }) => prompt).toSorted()).toEqual(prompts.toSorted());
});

describe("while a text is read in pieces", () => {
  const chunks = { ...CHUNKS, answerBytes: 2000 };
  const long = (word: string) => word.repeat(1000);

  async function run(app: TestServer, id: string, prompt: string) {
    await app.post("/tasks", { id, prompt, cache: true });
    await app.post(`/tasks/${id}/execute`);
    return app.ended(id);
  }

  /** A server with one long cached answer, that of the task `first`. */
  async function startWithAnswer() {
    const provider = await startProvider(({ prompt }) => ({
      choices: [
        {
          message: { content: long(`${prompt} ${provider.requests.length}, `) },
          finish_reason: "stop",
        },
      ],
    }));
    const app = await startServer(provider.env, { chunks });
    await run(app, "first", "x");
    return {
      app,
      provider,
      /** The answer to the same request once more. */
      again: async () => {
        const { result } = await run(app, "again", "x");
        return [result.content, result.cached];
      },
      [Symbol.asyncDispose]: async () => {
        await app[Symbol.asyncDispose]();
        await provider[Symbol.asyncDispose]();
      },
    };
  }

  test("and the answer that it is part of is deleted, the request is sent", async () => {
    await using world = await startWithAnswer();
    afterRead(world.app, "substr(e.response", () => world.app.del("/tasks/first"));
    expect(await world.again()).toEqual([long("x 2, "), false]);
  });

  test("and it is that of a model without a price, nothing is sent under a cap", async () => {
    await using world = await startWithAnswer();
    const { app, provider } = world;
    const request = { prompt: "own", model: "our-own", cache: true };
    await app.post("/tasks?execute=true", { id: "own", ...request });
    await app.ended("own");
    afterRead(app, "substr(e.response", () => app.del("/tasks/own"));
    await app.post("/batches", { id: "b", tasks: [request], config: { maxCostUsd: 1 } });
    await app.post("/batches/b/execute");
    await until(async () => (await app.get("/batches/b")).body.data.status !== "running");
    const { status, pauseReason } = (await app.get("/batches/b")).body.data;
    expect([status, pauseReason?.code]).toEqual(["paused", "price_unknown"]);
    expect(provider.counts.get("own")).toBe(1);
  });

  test("and another answer takes its place, it stays the one that was found", async () => {
    await using world = await startWithAnswer();
    const { app } = world;
    await run(app, "other", "y");
    afterRead(app, "substr(e.response", () =>
      app.ctx.client.execute(
        `UPDATE cached_answers SET task = (SELECT seq FROM tasks WHERE id = 'other')
         WHERE task = (SELECT seq FROM tasks WHERE id = 'first')`,
      ),
    );
    expect(await world.again()).toEqual([long("x 1, "), true]);
  });

  // A text of 5000 characters has ten pieces, and an empty one follows. So the second text is being read after twelve.
  test.each([1, 12])(
    "and its batch is paused with abort after %i pieces, nothing is sent",
    async (pieces) => {
      await using provider = await startProvider();
      await using app = await startServer(provider.env, { chunks });
      const prompts = [long("one, "), long("two, ")];
      await app.post("/batches", { id: "b", tasks: prompts.map((prompt) => ({ prompt })) });
      const paused = Promise.withResolvers<void>();
      const pause = async () => {
        await app.post("/batches/b/pause", { abort: true });
        paused.resolve();
      };
      afterRead(app, "substr(i.body", pause, pieces);
      await app.post("/batches/b/execute");
      await paused.promise;
      await run(app, "next", "y");
      expect(provider.requests.map(({ prompt }) => prompt)).toEqual(["y"]);
      await app.post("/batches/b/resume");
      expect(await app.finished("b")).toMatchObject({ progress: { completed: 2 } });
      expect(prompts.map((prompt) => provider.counts.get(prompt))).toEqual([1, 1]);
    },
  );

  test("and the task is cancelled, changed and executed again, no mixture is sent", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env, { chunks });
    await app.post("/tasks", { id: "t", prompt: long("old ") });
    afterRead(app, "substr(i.body", async () => {
      await app.post("/tasks/t/cancel");
      await app.patch("/tasks/t", { prompt: long("new ") });
      await app.post("/tasks/t/execute");
    });
    await app.post("/tasks/t/execute");
    await until(async () => (await app.get("/tasks/t")).body.data.status === "completed");
    expect(provider.requests.map(({ prompt }) => prompt)).toEqual([long("new ")]);
  });
});
