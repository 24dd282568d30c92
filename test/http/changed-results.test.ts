import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import { getBatch } from "../../src/services/batches.ts";
import { stateOfResults } from "../../src/services/results-tag.ts";
import { afterRead } from "../support/interleave.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

/** More than two pages. */
const ROWS = 450;
/** A page of results. */
const PAGE = "i.endpoint, i.cells";

const authorization = `Bearer ${KEY}`;

const text = "x".repeat(4000);
const tasks = Array.from({ length: ROWS }, (_, i) => ({ prompt: `p${i}`, metadata: { text } }));

describe("results that change while they are downloaded", () => {
  let app: TestServer;

  const ask = (id: string, headers: Record<string, string> = {}) =>
    fetch(`${app.url}/api/v1/batches/${id}/results?format=jsonl`, {
      headers: { authorization, "accept-encoding": "identity", ...headers },
    });
  /** Changes them when the second page was read. */
  const changeMeanwhile = (act: () => Promise<unknown>) =>
    afterRead({ ctx: app.ctx.longReads }, PAGE, act, 2);
  const runAgain = async (batch: string) => {
    const { body } = await app.get(`/batches/${batch}?limit=1`);
    return app.post(`/tasks/${body.data.tasks[0].id}/execute`);
  };
  /** No task of the batch is left to run. */
  const atRest = (id: string) =>
    until(async () => {
      const { progress } = (await app.get(`/batches/${id}`)).body.data;
      return progress.completed === ROWS || undefined;
    });

  beforeAll(async () => {
    app = await startServer();
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
  });
  beforeEach(() => atRest("b"));
  afterAll(() => app[Symbol.asyncDispose]());

  test.each(["identity", "gzip"])("do not end as a whole file, sent as %s", async (coding) => {
    changeMeanwhile(() => runAgain("b"));
    const answer = await ask("b", { "accept-encoding": coding });
    expect([answer.status, answer.headers.get("etag")]).toEqual([200, expect.any(String)]);
    await expect(answer.text()).rejects.toThrow();
  });

  test("nor if the whole batch runs again, or is deleted", async () => {
    await app.post("/batches", { id: "c", tasks });
    await app.post("/batches/c/cancel");
    await until(async () => (await app.get("/batches/c")).body.data.completedAt ?? undefined);
    const move = (path: string) => app.post(path, { statuses: ["cancelled"] });
    for (const act of [() => move("/batches/c/retry"), () => app.del("/batches/c?force=true")]) {
      changeMeanwhile(act);
      const answer = await ask("c");
      expect([answer.status, answer.headers.get("etag")]).toEqual([200, expect.any(String)]);
      await expect(answer.text()).rejects.toThrow();
      if (act.toString().includes("retry")) await atRest("c");
    }
  });

  test("nor in the file of the results in OpenAI's API", async () => {
    const lines = tasks.map(({ prompt }, i) =>
      JSON.stringify({
        custom_id: `c${i}`,
        method: "POST",
        url: "/v1/chat/completions",
        body: { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] },
      }),
    );
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new File([lines.join("\n")], "in.jsonl"));
    const headers = { authorization };
    const sent = await fetch(`${app.url}/v1/files`, { method: "POST", headers, body: form });
    const { body: made } = await app.send("POST", `${app.url}/v1/batches`, {
      input_file_id: (await sent.json()).id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const file = await until(async () => {
      const { body } = await app.send("GET", `${app.url}/v1/batches/${made.id}`);
      return body.status === "completed" ? body.output_file_id : undefined;
    });
    changeMeanwhile(() => runAgain(made.id));
    const answer = await fetch(`${app.url}/v1/files/${file}/content`, {
      headers: { ...headers, "accept-encoding": "identity" },
    });
    expect([answer.status, answer.headers.get("etag")]).toEqual([200, expect.any(String)]);
    await expect(answer.text()).rejects.toThrow();
  });

  test.each([
    ["bytes=0-99", false],
    ["bytes=5-", false],
    ["bytes=1500000-1500099", true],
    ["bytes=5-", true],
  ])("are refused as a part (%s, whose size is known: %p)", async (range, isKnown) => {
    if (isKnown) await (await ask("b", { range })).bytes();
    changeMeanwhile(() => runAgain("b"));
    const refused = await ask("b", { range });
    expect([refused.status, (await refused.json()).error]).toEqual([
      503,
      expect.objectContaining({
        code: "SERVICE_UNAVAILABLE",
        message: "The results of batch b have changed while they were read; request them again",
      }),
    ]);
    await atRest("b");
    const { length } = await (await ask("b")).bytes();
    const part = await ask("b", { range });
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      expect.stringMatching(new RegExp(`/${length}$`)),
    ]);
    await part.bytes();
  });

  test("end well without a tag, while the batch has not ended", async () => {
    await app.post("/batches", { id: "n", tasks });
    changeMeanwhile(() => app.post("/batches/n/execute"));
    const answer = await ask("n");
    expect([answer.status, answer.headers.get("etag")]).toEqual([200, null]);
    expect((await answer.text()).trim().split("\n")).toHaveLength(ROWS);
  });

  test("have no tag while a task of an ended batch runs again", async () => {
    const batch = await getBatch(app.ctx, "b");
    expect(stateOfResults(batch)).toBeArray();
    expect(stateOfResults({ ...batch, completed: batch.completed - 1 })).toBeNull();
  });
});
