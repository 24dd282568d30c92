import { describe, expect, test } from "bun:test";

import { type Json, KEY, startServer, type TestServer } from "../support/server.ts";

describe("a name that a route does not know", () => {
  test("is refused in the query of every route, by name", async () => {
    await using app = await startServer();
    for (const { name, method, path } of await routes(app)) {
      const { status, body } = await app.send(method, `${path}?promt=1`);
      expect([name, status, namesIn(body)]).toEqual([name, 400, expect.arrayContaining(["promt"])]);
    }
  });

  test("is refused in the body of every route that accepts one, by name", async () => {
    await using app = await startServer();
    for (const { name, method, path } of await routes(app)) {
      if (method === "GET" || path.endsWith("/files")) continue;
      const { status, body } = await app.send(method, path, { promt: 1 });
      expect([name, status, namesIn(body)]).toEqual([name, 400, expect.arrayContaining(["promt"])]);
    }
  });

  test("is refused in the form of an upload, by name", async () => {
    await using app = await startServer();
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new Blob(["prompt\nx\n"]), "a.csv");
    const answer = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: form,
    });
    expect([answer.status, namesIn(await answer.json())]).toEqual([400, ["purpose"]]);
    expect((await app.get("/files")).body.data.pagination.total).toBe(0);
  });

  test("and a body that is not an object are distinguished from an empty body", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    const list = await app.post("/batches/b/cancel", []);
    expect([list.status, list.body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
    expect((await app.post("/batches/b/cancel", {})).status).toBe(200);
  });
});

describe("isDryRun of an execution", () => {
  test("works in the query and in the body, for a task and for a batch", async () => {
    await using app = await startServer();
    for (const how of ["query", "body"]) {
      await app.post("/tasks", { id: how, prompt: "x" });
      await app.post("/batches", { id: how, tasks: [{ prompt: "x" }] });
      for (const noun of ["tasks", "batches"]) {
        const path = `/${noun}/${how}/execute`;
        const started =
          how === "query"
            ? await app.post(`${path}?isDryRun=true`)
            : await app.post(path, { isDryRun: true });
        expect(started.status).toBe(200);
      }
      expect((await app.ended(how)).result.isDryRun).toBe(true);
      expect((await app.finished(how)).isDryRun).toBe(true);
    }
  });

  test("is refused if query and body contradict each other", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    const { status, body } = await app.post("/batches/b/execute?isDryRun=true", {
      isDryRun: false,
    });
    expect([status, namesIn(body)]).toEqual([400, ["isDryRun"]]);
    expect((await app.get("/batches/b")).body.data.status).toBe("pending");
  });
});

async function routes(app: TestServer) {
  const { paths } = (await app.get(`${app.url}/openapi.json`)).body;
  return Object.entries<Json>(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({
      name: `${method} ${path}`,
      method: method.toUpperCase(),
      // Well-formed ids of nothing that exists.
      path: path.replaceAll(/\{[^}]+\}/g, "none"),
    })),
  );
}

function namesIn(body: Json): string[] {
  return (body.error.details.issues ?? []).map(({ path }: Json) => path);
}
