import { afterAll, beforeAll, expect, test } from "bun:test";

import { ApiError, type Client, createClient, type RowResult } from "../../src/client/client.ts";
import { freePort, startProcess, temporaryFolder } from "../support/process.ts";
import { chatAnswer, hang, startProvider } from "../support/provider.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let client: Client;

beforeAll(async () => {
  provider = await startProvider((request) =>
    request.prompt.startsWith("hang") ? hang() : undefined,
  );
  app = await startServer(provider.env);
  client = createClient({ baseUrl: `${app.url}/`, apiKey: KEY });
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const rowsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `${name} ${i}` }));

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error.code;
    throw error;
  }
  return "it worked";
}

async function all(results: AsyncIterable<RowResult>): Promise<RowResult[]> {
  const rows: RowResult[] = [];
  for await (const row of results) rows.push(row);
  return rows;
}

test("a run continues through kill -9 and a restart of the server, with every row once and in order", async () => {
  using folder = temporaryFolder();
  await using slow = await startProvider(async (request) => {
    await Bun.sleep(5);
    return chatAnswer(request);
  });
  const port = String(await freePort());
  const env = { DATA_DIR: folder.path, PORT: port, MAX_CONCURRENCY: "4", ...slow.env };
  await using first = await startProcess(env);
  const restarted: Awaited<ReturnType<typeof startProcess>>[] = [];
  const other = createClient({ baseUrl: first.url ?? "", apiKey: KEY });
  const rows: RowResult[] = [];
  for await (const row of other.run(rowsOf("row", 250))) {
    rows.push(row);
    if (rows.length !== 110) continue;
    await first.kill();
    restarted.push(await startProcess(env));
  }
  expect(rows.map(({ index, result }) => [index, result])).toEqual(
    rows.map((_, i) => [i, `re: row ${i}`]),
  );
  expect(rows).toHaveLength(250);
  // Calls that were in flight may have been made again, and no others.
  expect(slow.requests.length).toBeLessThanOrEqual(254);
  for (const one of restarted) await one[Symbol.asyncDispose]();
});

test("a run that is repeated under its id continues with its batch, at no cost", async () => {
  const tasks = rowsOf("again", 3);
  for await (const row of client.run(tasks, { id: "again" })) {
    expect(row).toMatchObject({ index: 0, status: "completed", result: "re: again 0" });
    break;
  }
  const rows = await all(client.run(tasks, { id: "again" }));
  expect(rows.map(({ result }) => result)).toEqual(["re: again 0", "re: again 1", "re: again 2"]);
  for (const { prompt } of tasks) expect(provider.counts.get(prompt)).toBe(1);
  const others = client.run(rowsOf("others", 3), { id: "again" });
  expect(await codeOf(all(others))).toBe("IDEMPOTENCY_KEY_REUSED");
});

test("a batch that is paused ends the iteration with the reason, and a run under its id resumes it", async () => {
  const tasks = [...rowsOf("stops", 2), { prompt: "hang" }];
  const seen: string[] = [];
  const run = client.run(tasks, { id: "stops" });
  const ended = codeOf(
    (async () => {
      for await (const { result } of run) {
        seen.push(result ?? "");
        if (seen.length === 2) await client.pauseBatch(run.id, { abort: true });
      }
    })(),
  );
  expect([await ended, seen.length]).toEqual(["BATCH_PAUSED", 2]);
  const ending = new AbortController();
  const resumed = client.run(tasks, { id: "stops", signal: ending.signal });
  const reading = (async () => {
    for await (const { index } of resumed) if (index === 1) ending.abort(new Error("enough"));
  })();
  await expect(reading).rejects.toThrow("enough");
  expect((await client.getBatch("stops")).status).toBe("running");
  await client.cancelBatch("stops");
});

test("a table on the server runs by its templates, and its results are a download", async () => {
  const csv = new Blob(["id,city\na,Oslo\nb,Rome\n"]);
  const { id: inputFile } = await client.upload(csv, "cities.csv");
  const config = { promptTemplate: "Where is {{city}}?" };
  const run = client.run({ inputFile }, { config, scopedIds: true });
  expect((await all(run)).map(({ result }) => result)).toEqual([
    "re: Where is Oslo?",
    "re: Where is Rome?",
  ]);
  const download = await client.results(run.id, { format: "csv" });
  expect(await download.text()).toStartWith("id,city,status,result");
  expect((await client.estimateBatch(run.id)).tasks).toBe(0);
});

test("a single request is answered, and errors are those of the API", async () => {
  expect((await client.ask({ prompt: "hi" })).result?.content).toBe("re: hi");
  expect(await codeOf(client.ask({ prompt: "" }))).toBe("VALIDATION_ERROR");
  expect(await codeOf(client.getBatch("nowhere"))).toBe("BATCH_NOT_FOUND");
  const stranger = createClient({ baseUrl: app.url, apiKey: "wrong" });
  expect(await codeOf(stranger.status())).toBe("UNAUTHORIZED");
  const away = createClient({ baseUrl: "http://127.0.0.1:9", apiKey: KEY, patienceMs: 0 });
  expect(await codeOf(away.status())).toBe("UNAVAILABLE");
  expect((await client.models()).models.length).toBeGreaterThan(0);
});
