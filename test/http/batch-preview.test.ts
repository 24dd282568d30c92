import { expect, test } from "bun:test";

import { type Json, startServer } from "../support/server.ts";

test("POST /batches/preview shows the requests of a table, and creates nothing", async () => {
  await using app = await startServer();
  const preview = async (body: object) => app.post("/batches/preview", body);
  const rows = Array.from({ length: 300 }, (_, i) => `${i},"Paris, ${i}"`);
  await Bun.write(
    `${app.filesDir}/cities.csv`,
    `nr;city\n${rows.join("\n").replaceAll(",", ";")}\n`,
  );
  const bare = (await preview({ inputFile: "cities.csv", limit: 2 })).body.data;
  expect(bare).toMatchObject({
    format: "csv",
    delimiter: ";",
    columns: ["nr", "city"],
    rowCount: 300,
    isWhole: true,
    estimate: null,
  });
  expect(bare.rows[0]).toMatchObject({ row: 1, cells: ["0", "Paris; 0"], messages: [] });
  expect(bare.rows[0].issues[0].field).toBe("prompt");
  const config = { promptTemplate: "Describe {{city}}", systemPrompt: "Be brief", model: "gpt-4o" };
  const body = { inputFile: "cities.csv", config, from: 250, limit: 1 };
  const composed = (await preview(body)).body.data;
  expect(composed.rows).toMatchObject([
    {
      row: 250,
      model: "gpt-4o",
      messages: [
        { role: "system", content: "Be brief" },
        { role: "user", content: "Describe Paris; 249" },
      ],
      issues: [],
    },
  ]);
  expect(composed.rows[0].promptTokens).toBeGreaterThan(5);
  expect(composed.estimate).toMatchObject({ tasks: 300, sampledTasks: 100 });
  const wrong = (await preview({ ...body, config: { promptTemplate: "{{town}}" } })).body.data;
  expect(wrong.rows[0].issues[0].message).toContain("town");
  await Bun.write(`${app.filesDir}/rows.jsonl`, '{"city":"Oslo","n":{"a":1}}\n{"city":"Rome"}\n');
  // A template that makes nearly a million characters of each row is filled in for some of them only.
  const long = { promptTemplate: `{{nr}}${"x".repeat(900_000)}`, model: "gpt-4o" };
  const some = (await preview({ inputFile: "cities.csv", limit: 20, config: long })).body.data;
  const isShown = some.rows.map(({ messages }: Json) => messages.length > 0);
  expect(isShown.filter(Boolean).length).toBeLessThan(6);
  expect([isShown[0], isShown[19]]).toEqual([true, false]);
  expect(some.rows[19].issues).toMatchObject([
    { field: "config", message: expect.stringContaining("ask for fewer rows") },
  ]);
  expect(some.estimate.sampledTasks).toBeLessThan(6);
  const lines = (await preview({ inputFile: "rows.jsonl" })).body.data;
  expect(lines).toMatchObject({ format: "jsonl", rowCount: 2, columns: ["city", "n"] });
  expect(lines.rows[0].cells).toEqual(["Oslo", '{"a":1}']);
  // Only the last line says which names there are.
  const early = '{"city":"Oslo"}\n'.repeat(150);
  await Bun.write(`${app.filesDir}/late.jsonl`, `${early}{"city":"Rome","note":"warm"}\n`);
  const late = async (promptTemplate: string) => {
    const answer = await preview({ inputFile: "late.jsonl", limit: 1, config: { promptTemplate } });
    return answer.body.data.rows[0];
  };
  expect(await late("{{city}}: {{note}}")).toMatchObject({
    messages: [{ role: "user", content: "Oslo: " }],
    issues: [],
  });
  expect(await late("{{city}}: {{notes}}")).toMatchObject({
    messages: [],
    issues: [{ message: expect.stringContaining("unknown variable {{notes}}") }],
  });
  expect((await preview({ inputFile: "none.csv" })).status).toBe(404);
  expect((await preview({ inputFile: "https://example.com/x.csv" })).status).toBe(400);
  expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
});
