import { expect, test } from "bun:test";

import { createLiveBooks } from "../../src/engine/live/books.ts";
import { startServer } from "../support/server.ts";

test("a process that stood still stores what its live calls have cost before it reserves money again", async () => {
  await using app = await startServer();
  const { body } = await app.post("/api-keys", { name: "k", monthlyBudgetUsd: 3 });
  const { client } = app.ctx;
  const sql = "SELECT seq FROM api_keys WHERE id = ?";
  const payer = Number((await client.execute({ sql, args: [body.data.id] })).rows[0]?.["seq"]);
  let isAlive = true;
  const books = createLiveBooks(app.ctx, () => isAlive);
  const { signal } = new AbortController();
  await books.start();
  const reservation = await books.reserve(payer, 3, signal);
  const tokens = { promptTokens: 1, completionTokens: 1, cachedTokens: 0, reasoningTokens: 0 };
  books.end({
    ...tokens,
    payer,
    model: "gpt-4",
    provider: "openai",
    failure: null,
    startedAt: 0,
    at: 1,
    costUsd: 3,
    reservation,
  });
  // Another process has declared this one dead before it stored that.
  await client.execute("DELETE FROM live_calls");
  isAlive = false;
  await expect(books.reserve(payer, 1, signal)).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
  const { rows } = await client.execute("SELECT count(*) AS n FROM live_calls");
  expect(rows[0]?.["n"]).toBe(0);
  await books.stop(0);
});
