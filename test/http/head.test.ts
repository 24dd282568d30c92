import { expect, test } from "bun:test";

import { KEY, startServer, type TestServer } from "../support/server.ts";

/** Headers that differ between any two requests. */
const OF_ITS_OWN = new Set(["date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"]);
/** Answers that depend on the time, so that their length may change. */
const OF_THE_MOMENT = /metrics|status|audit|readyz|healthz|events|api-keys/;

async function headersOf(app: TestServer, method: string, path: string, isOfTheMoment: boolean) {
  const { status, headers, body } = await fetch(app.url + path, {
    method,
    headers: { authorization: `Bearer ${KEY}` },
    decompress: false,
  });
  const kept = [...headers].filter(
    ([name]) => !OF_ITS_OWN.has(name) && !(isOfTheMoment && /^(content-length|etag)$/.test(name)),
  );
  if (method === "GET") await body?.cancel();
  return { status, headers: Object.fromEntries(kept) };
}

test("HEAD of every route has the status and the headers of GET", async () => {
  await using app = await startServer({ RATE_LIMIT_PER_MINUTE: "10000", MAX_STREAMS_PER_KEY: "2" });
  await app.post("/tasks", { id: "t", prompt: "x" });
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  await app.post("/batches/b/execute");
  await app.finished("b");
  const { paths } = (await app.get(`${app.url}/openapi.json`)).body;
  const routes = Object.entries<Record<string, unknown>>(paths)
    .filter(([, methods]) => "get" in methods)
    .map(([path]) =>
      path.replace("/tasks/{id}", "/tasks/t").replace("/batches/{id}", "/batches/b"),
    );
  for (const path of ["/", "/docs", "/openapi.json", "/metrics", "/nothing", ...routes]) {
    const isOfTheMoment = OF_THE_MOMENT.test(path);
    const get = await headersOf(app, "GET", path, isOfTheMoment);
    expect([path, await headersOf(app, "HEAD", path, isOfTheMoment)]).toEqual([path, get]);
  }
});

test("HEAD does not look at Range, and holds no stream open", async () => {
  await using app = await startServer({ MAX_STREAMS_PER_KEY: "1" });
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  await app.post("/batches/b/execute");
  await app.finished("b");
  const part = await app.send("HEAD", "/batches/b/results", undefined, { range: "bytes=0-9" });
  expect([part.status, part.headers.get("content-range")]).toEqual([200, null]);
  await app.post("/tasks", { id: "open", prompt: "x" });
  for (const path of ["/events", "/live", "/tasks/open/events", "/batches/b/events"])
    for (let i = 0; i < 3; i++) {
      const { status, headers } = await app.send("HEAD", path);
      const type = headers.get("content-type");
      expect([path, status, type]).toEqual([path, 200, "text/event-stream; charset=utf-8"]);
    }
  expect(app.runner.hub.size()).toBe(0);
  const wrong = await app.send("HEAD", "/tasks/t/cancel");
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
});
