import { expect, test } from "bun:test";

import type { Context } from "../../src/context.ts";
import type { Statement } from "../../src/db/unit.ts";
import { checkBooks, repairBooks } from "../../src/services/books.ts";
import { LEASES, takeLease } from "../../src/store/leases.ts";
import { readRows } from "../../src/store/rows.ts";
import { startServer, until } from "../support/server.ts";

test("wrong counters and sums are found and corrected while work goes on", async () => {
  await using app = await startServer();
  const tasks = Array.from({ length: 20 }, (_, i) => ({ prompt: `p${i}` }));
  for (const id of ["a", "b"]) {
    await app.post("/batches", { id, tasks });
    await app.post(`/batches/${id}/execute`);
  }
  await app.finished("a");
  await app.finished("b");
  const { client } = app.ctx;
  // A batch whose counters say that it is unfinished, because two tasks are not counted.
  await client.execute(
    "UPDATE batches SET completed = completed - 2, status = 'running', completed_at = NULL WHERE id = 'a'",
  );
  await client.execute("UPDATE batches SET failed = 3 WHERE id = 'b'");
  await client.execute(
    "UPDATE stored_bytes SET requests = requests + 7, files = 1 WHERE api_key = 1",
  );
  const before = await checkBooks(app.ctx);
  expect(before.counters).toEqual([
    { batchId: "a", counter: "completed", stored: 18, counted: 20 },
    { batchId: "b", counter: "failed", stored: 3, counted: 0 },
  ]);
  expect(before.sums).toMatchObject([
    { row: 1, sum: "bytes of uploads of API key", stored: 1, counted: 0 },
    { row: 1, sum: "bytes of requests of API key" },
  ]);

  const [repaired] = await Promise.all([
    repairBooks(app.ctx),
    app.post("/batches", { id: "c", tasks }).then(() => app.post("/batches/c/execute")),
  ]);
  expect(repaired).toEqual({ before, after: { counters: [], sums: [] } });
  await app.finished("c");
  expect(await checkBooks(app.ctx)).toEqual({ counters: [], sums: [] });
  expect((await app.get("/batches/a")).body.data).toMatchObject({
    status: "completed",
    progress: { completed: 20 },
  });
});

test("of two concurrent repairs, which would both add the difference, one is refused", async () => {
  await using app = await startServer();
  await app.ctx.writer.write({ lease: takeLease("repair", "repair-other", 60_000) });
  await expect(repairBooks(app.ctx)).rejects.toThrow("Another repair is in progress");
  const leases = await readRows(app.ctx.client, LEASES);
  expect(leases).toContainEqual({
    name: "repair",
    holder: "repair-other",
    leftMs: expect.any(Number),
  });
});

/** Calls `then` once, between the check of the counters and their correction. */
function afterCheck(ctx: Context, then: () => Promise<void>): Context {
  let isFirst = true;
  const { longReads } = ctx;
  const client = {
    ...longReads.client,
    execute: async (statement: Statement) => {
      const found = await longReads.client.execute(statement);
      if (isFirst && JSON.stringify(statement).includes("WITH counted")) {
        isFirst = false;
        await then();
      }
      return found;
    },
  };
  return { ...ctx, longReads: { ...longReads, client } as Context["longReads"] };
}

test("a repair that stood still for longer than its lease corrects nothing that another one has corrected", async () => {
  await using app = await startServer();
  await app.post("/batches", { id: "a", tasks: [{ prompt: "x" }] });
  const { client } = app.ctx;
  await client.execute("UPDATE batches SET failed = 3 WHERE id = 'a'");
  // The second repair begins and ends meanwhile.
  const standing = afterCheck(app.ctx, async () => {
    await client.execute("UPDATE leases SET expires_at = 0 WHERE name = 'repair'");
    expect((await repairBooks(app.ctx)).after.counters).toEqual([]);
  });
  const { before, after } = await repairBooks(standing);
  expect(before.counters).toHaveLength(1);
  expect(after.counters).toEqual([]);
  expect(await checkBooks(app.ctx)).toEqual({ counters: [], sums: [] });
});

test("a repair that takes longer than its lease renews it", async () => {
  await using app = await startServer();
  const { client, clock } = app.ctx;
  // Waits of a minute and more end at once.
  const fast = { ...clock, setTimeout: (callback: () => void) => clock.setTimeout(callback, 1) };
  const leftMs = async () => {
    const leases = await readRows(client, LEASES);
    return leases.find(({ name }) => name === "repair")?.leftMs ?? 0;
  };
  const long = afterCheck({ ...app.ctx, clock: fast }, async () => {
    await client.execute(
      "UPDATE leases SET expires_at = expires_at - 500000 WHERE name = 'repair'",
    );
    await until(async () => (await leftMs()) > 500_000);
  });
  expect((await repairBooks(long)).after).toEqual({ counters: [], sums: [] });
});
