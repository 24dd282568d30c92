import { describe, expect, test } from "bun:test";
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";

import { openDatabase } from "../../src/db/client.ts";
import { createLocalClient } from "../../src/db/local-client.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { reportDamage } from "../../src/services/damage.ts";
import { temporaryFolder } from "../support/process.ts";
import { type Json, KEY, startServer, until } from "../support/server.ts";

const HEADERS = { authorization: `Bearer ${KEY}` };

describe("a database that fails", () => {
  test.each([
    ["full", "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823"],
    ["read-only", "PRAGMA query_only = ON", "PRAGMA query_only = OFF"],
  ])("because it is %s is a 503, and a 201 as soon as it can", async (_, harm, heal) => {
    await using app = await startServer();
    await app.ctx.client.execute(harm);
    const refused = await app.post("/tasks", { prompt: "x".repeat(100_000) });
    expect([refused.status, refused.body.error.code, refused.headers.get("retry-after")]).toEqual([
      503,
      "SERVICE_UNAVAILABLE",
      "5",
    ]);
    expect(refused.body.error.message).toStartWith("The d");
    await app.ctx.client.execute(heal);
    expect((await app.post("/tasks", { prompt: "x".repeat(100_000) })).status).toBe(201);
  });

  test("makes the process unready until it can write, even without other writes", async () => {
    await using app = await startServer({ ROLE: "api" });
    await app.ctx.client.execute("PRAGMA query_only = ON");
    expect((await app.post("/tasks", { prompt: "x" })).status).toBe(503);
    const endpoint = { name: "n", url: "https://example.com/", event_types: ["batch.completed"] };
    const openAi = await app.post(`${app.url}/v1/webhook_endpoints`, endpoint);
    expect([openAi.status, openAi.body.error.code, openAi.headers.get("retry-after")]).toEqual([
      503,
      "service_unavailable",
      "5",
    ]);
    for (const dialect of ["api/v1", "v1"]) {
      const form = new FormData();
      if (dialect === "v1") form.append("purpose", "batch");
      form.append("file", new Blob(['{"prompt":"x"}\n'.repeat(200_000)]), "x.jsonl");
      const url = `${app.url}/${dialect}/files`;
      const answer = await fetch(url, { method: "POST", headers: HEADERS, body: form });
      expect([answer.status, await answer.text()]).toEqual([
        503,
        expect.stringContaining("The database cannot be written"),
      ]);
    }
    const ready = await fetch(`${app.url}/readyz`);
    expect([ready.status, ready.headers.get("retry-after")]).toEqual([503, "5"]);
    expect((await app.get("/status/services/database")).body.data.status).toBe("unhealthy");
    await app.ctx.client.execute("PRAGMA query_only = OFF");
    await until(async () => (await fetch(`${app.url}/readyz`)).ok);
    expect((await app.get("/status/services/database")).body.data.status).toBe("healthy");
  });
});

test("damage that is found after the start raises an alert, which the next sound check clears", async () => {
  await using app = await startServer({ ROLE: "api" });
  const codes = async () => (await app.get("/alerts")).body.data.open.map(({ code }: Json) => code);
  reportDamage(app.ctx, Promise.resolve({ found: "page 7 is used twice" }));
  await until(async () => (await codes())[0] === "database.damaged");
  reportDamage(app.ctx, Promise.resolve(undefined));
  await until(async () => (await codes()).length === 0);
});

describe("a damaged file", () => {
  /** A database with `megabytes` of rows and another write in the middle of them. */
  async function givenDamage(path: string, megabytes: number): Promise<void> {
    const made = await openDatabase(`file:${path}`, createSystemClock());
    await made.close();
    const client = createLocalClient(path, 1000);
    await client.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, v BLOB)");
    for (let i = 0; i < megabytes; i++)
      await client.execute("INSERT INTO filler (v) VALUES (randomblob(1000000))");
    client.close();
    const file = openSync(path, "r+");
    writeSync(
      file,
      Buffer.alloc(8192, 0xee),
      0,
      8192,
      Math.floor(statSync(path).size / 8192 - 10) * 4096,
    );
    closeSync(file);
  }

  test.each([1, 40])("of %d MB is refused at the start", async (megabytes) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "t.db");
    await givenDamage(path, megabytes);
    expect(openDatabase(`file:${path}`, createSystemClock())).rejects.toThrow(
      /is damaged: .*Restore a backup/,
    );
  });
});
