import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { fail, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

describe("GET /batches/{id}/rows", () => {
  let app: TestServer;
  let provider: Awaited<ReturnType<typeof startProvider>>;
  beforeAll(async () => {
    provider = await startProvider(({ prompt }, response) =>
      prompt.includes("Atlantis") ? fail(response, 400) : undefined,
    );
    app = await startServer(provider.env);
    const cities = ["Paris", "東京", "Atlantis", "PARIS (Texas)"];
    const rows = Array.from({ length: 400 }, (_, i) => `${i},${cities[i % 4]}`);
    await Bun.write(`${app.filesDir}/cities.csv`, `nr,city\n${rows.join("\n")}\n`);
    const config = { promptTemplate: "Describe {{city}}" };
    await app.post("/batches", { id: "b", inputFile: "cities.csv", config });
    await app.post("/batches/b/execute");
    await app.finished("b");
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await provider[Symbol.asyncDispose]();
  });
  const rows = async (query: string): Promise<Json> =>
    (await app.get(`/batches/b/rows?${query}`)).body.data;

  test("returns input and answer columns in order, from any position", async () => {
    const page = await rows("after=100&limit=3");
    expect(page).toMatchObject({ columns: ["nr", "city", "result"], inputs: 2, next: 103 });
    expect(page.rows.map((row: Json) => row.position)).toEqual([101, 102, 103]);
    expect(page.rows[0].cells.slice(0, 2)).toEqual(["101", "東京"]);
    expect(page.rows[1]).toMatchObject({ status: "failed", cells: ["102", "Atlantis", null] });
    expect(page.rows[1].error).toContain("PROVIDER_REJECTED_REQUEST");
    expect((await rows("after=399")).rows).toEqual([]);
    expect((await rows("after=398")).next).toBeNull();
  });

  test("filters by status and by text in any case, page by page, and so does the download", async () => {
    expect((await rows("status=failed&limit=200")).rows).toHaveLength(100);
    const found: Json[] = [];
    for (let after: number | null = -1; after !== null;) {
      const page: Json = await rows(`contains=paris&limit=60&after=${after}`);
      found.push(...page.rows);
      after = page.next;
    }
    expect(found).toHaveLength(200);
    expect((await rows("contains=rejected_request")).rows).toHaveLength(100);
    const { text } = await app.get("/batches/b/results?format=csv&contains=texas");
    expect(text.trim().split("\n")).toHaveLength(101);
    const sheet = await app.get("/batches/b/results?format=xlsx&contains=texas&status=failed");
    expect(sheet.status).toBe(200);
  });

  test("cuts long cells between characters, and refuses an invalid position", async () => {
    const prompt = `${"x".repeat(999)}😀😀`;
    await app.post("/batches", { id: "long", tasks: [{ prompt }] });
    const { body } = await app.get("/batches/long/rows");
    expect(body.data.rows[0].cells[1]).toBe(`${"x".repeat(999)}…`);
    for (const query of ["after=-2", "after=x", "limit=201", "contains="])
      expect([query, (await app.get(`/batches/b/rows?${query}`)).status]).toEqual([query, 400]);
    expect((await app.get("/batches/none/rows")).status).toBe(404);
  });
});
