import { describe, expect, test } from "bun:test";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate, hang, startProvider } from "../support/provider.ts";
import { until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

const many = (count: number) => Array.from({ length: count }, (_, i) => ({ prompt: `p${i}` }));

describe.if(sqld !== undefined)("processes that share a libSQL server", () => {
  test("share the work: each task runs once, on a process that is free", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using providerA = await startProvider(() => Bun.sleep(5) as Promise<undefined>);
    await using providerB = await startProvider(() => Bun.sleep(5) as Promise<undefined>);
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, MAX_CONCURRENCY: "8" };
    await using a = await startProcess({ ...env, ...providerA.env });
    await using b = await startProcess({ ...env, ...providerB.env });
    await a.post("/batches", { id: "b", tasks: many(800) });
    await b.post("/batches/b/execute");
    expect(await a.finished("b")).toMatchObject({ progress: { total: 800, completed: 800 } });
    expect(providerA.requests.length).toBeGreaterThan(100);
    expect(providerB.requests.length).toBeGreaterThan(100);
    expect(providerA.requests.length + providerB.requests.length).toBe(800);
    expect((await b.get(`${b.url}/readyz?deep=1`)).status).toBe(200);
  });

  test("keep to a batch's maxConcurrency together", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using provider = await startProvider(() => Bun.sleep(10) as Promise<undefined>);
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, ...provider.env };
    await using a = await startProcess(env);
    await using b = await startProcess(env);
    await a.post("/batches", { id: "b", tasks: many(120), config: { maxConcurrency: 3 } });
    await a.post("/batches/b/execute");
    await b.finished("b");
    expect(provider.requests).toHaveLength(120);
    expect(provider.state.mostOpen).toBeLessThanOrEqual(3);
  });

  test("divide the configured limits of a provider among them", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using provider = await startProvider();
    const env = {
      DATABASE_URL: database.url,
      DATA_DIR: folder.path,
      PROVIDER_RPM: "600",
      LEASE_SECONDS: "1",
      ...provider.env,
    };
    await using a = await startProcess(env);
    const limitOf = async (app: typeof a) => {
      await app.post("/tasks?execute=true", { prompt: "x" }, { prefer: "wait=5" });
      const { details } = (await app.get("/status/services/openai")).body.data;
      return details.providers[0].pacers[0]?.requests.perMinute;
    };
    await until(async () => (await limitOf(a)) === 600 || undefined);
    const b = await startProcess(env);
    await until(async () => (await limitOf(a)) === 300 || undefined);
    await b.kill("SIGTERM");
    await until(async () => (await limitOf(a)) === 600 || undefined);
  });

  test("reuse one another's answers", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using provider = await startProvider();
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, ...provider.env };
    await using a = await startProcess(env);
    await a.post("/tasks?execute=true", { id: "first", prompt: "x", cache: true });
    await a.ended("first");
    await a.kill("SIGTERM");
    await using b = await startProcess(env);
    await b.post("/tasks?execute=true", { id: "second", prompt: "x", cache: true });
    expect((await b.ended("second")).result).toMatchObject({ content: "re: x", cached: true });
    expect(provider.requests).toHaveLength(1);
    await b.del("/tasks/first");
    await b.post("/tasks?execute=true", { id: "third", prompt: "x", cache: true });
    expect((await b.ended("third")).result.cached).toBe(false);
  });

  test("may have roles: one answers requests, another executes", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using provider = await startProvider();
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, ...provider.env };
    await using api = await startProcess({ ...env, ROLE: "api" });
    await using runner = await startProcess({ ...env, ROLE: "runner" });
    expect(runner.url).toBeDefined();
    const { body } = await api.post("/tasks?execute=true", { prompt: "x" }, { prefer: "wait=20" });
    expect(body.data).toMatchObject({ status: "completed", result: { content: "re: x" } });
  });

  test("take over the work of a killed one when its lease has lapsed", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using stuck = await startProvider(hang);
    await using provider = await startProvider();
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, LEASE_SECONDS: "1" };
    await using a = await startProcess({ ...env, ...stuck.env });
    await a.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => stuck.requests.length === 1 || undefined);
    await using b = await startProcess({ ...env, ...provider.env });
    await a.kill("SIGKILL");
    expect(await b.ended("t")).toMatchObject({ status: "completed", attempts: 2 });
  });

  test("do not let one that was declared dead change anything when it returns", async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    const held = gate();
    await using slow = await startProvider(async () => void (await held.opened));
    await using fast = await startProvider(({ prompt }) => ({
      id: "late",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: `taken over: ${prompt}` },
          finish_reason: "stop",
        },
      ],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }));
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, LEASE_SECONDS: "1" };
    await using a = await startProcess({ ...env, ...slow.env });
    await a.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => slow.requests.length === 1 || undefined);
    a.child.kill("SIGSTOP");
    await using b = await startProcess({ ...env, ...fast.env });
    expect(await b.ended("t")).toMatchObject({ result: { content: "taken over: x" } });

    held.open();
    a.child.kill("SIGCONT");
    // It works again. When it has executed another task, it has reported its late answer.
    await a.post("/tasks?execute=true", { id: "next", prompt: "y" });
    await a.ended("next");
    await Bun.sleep(200);
    expect((await b.get("/tasks/t")).body.data.result.content).toBe("taken over: x");
    expect((await b.get("/tasks/t/executions")).body.data.executions).toHaveLength(1);
    expect((await b.get(`${b.url}/readyz?deep=1`)).status).toBe(200);
  });
});
