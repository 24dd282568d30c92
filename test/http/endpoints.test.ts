import { expect, test } from "bun:test";

import { startProvider } from "../support/provider.ts";
import { startServer } from "../support/server.ts";

test("a JSONL line may name any path of the provider: it is sent there, and its answer is stored", async () => {
  const verdict = { id: "modr-1", model: "omni-moderation", results: [{ flagged: false }] };
  await using provider = await startProvider(() => verdict);
  await using app = await startServer(provider.env);
  const line = {
    custom_id: "a",
    method: "POST",
    url: "/v1/moderations",
    body: { model: "omni-moderation", input: "hello" },
  };
  const form = new FormData();
  form.append("file", new Blob([`${JSON.stringify(line)}\n`]), "lines.jsonl");
  const upload = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: "Bearer test-key" },
    body: form,
  });
  const inputFile = (await upload.json()).data.id;

  await app.post("/batches", { id: "b", inputFile });
  await app.post("/batches/b/execute");

  expect((await app.finished("b")).progress).toMatchObject({ completed: 1, failed: 0 });
  expect(provider.requests).toMatchObject([{ path: "/v1/moderations", body: line.body }]);
  const { result } = (await app.get("/tasks/b-1")).body.data;
  expect(result.raw).toEqual(verdict);
});

test("tasks of one template carry one prompt_cache_key, unless they have their own", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  const tasks = [{ prompt: "a" }, { prompt: "b" }];
  const own = { prompt: "c", parameters: { prompt_cache_key: "mine" } };
  await app.post("/batches", {
    id: "b",
    tasks: [...tasks, own],
    config: { systemPrompt: "Answer in one word." },
  });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await app.post("/tasks?execute=true", { prompt: "alone" }, { prefer: "wait=20" });
  const keyOf = (prompt: string) =>
    provider.requests.find((request) => request.prompt === prompt)?.body.prompt_cache_key;
  expect(keyOf("a")).toMatch(/^gtr-[0-9a-f]{32}$/);
  expect(keyOf("b")).toBe(keyOf("a"));
  expect(keyOf("c")).toBe("mine");
  expect(keyOf("alone")).toBeUndefined();
});
