import { expect, test } from "bun:test";

import { createTally, NOTHING_EARLIER } from "../../src/engine/tally.ts";
import { isSettled, settleLive } from "../../src/store/live-calls.ts";
import { addNode, forgetNode, heartbeat } from "../../src/store/nodes.ts";
import { MODEL, NOW, openStore } from "../support/store.ts";

const PAYER = 1;

function oneCall() {
  const tally = createTally();
  const run = { ...NOTHING_EARLIER, payer: PAYER, model: MODEL, startedAt: NOW, queuedAt: NOW };
  const usage = { promptTokens: 3, completionTokens: 2, cachedTokens: 0, reasoningTokens: 0 };
  const end = { ...usage, status: "completed" as const, provider: "openai", at: NOW, costUsd: 0.5 };
  tally.add(end, { ...run, attempt: 1, isDryRun: 0 });
  return tally.tallies();
}

test("a settlement of live calls whose answer was lost is stored once, however often it is sent", async () => {
  using store = await openStore();
  const { writer, client } = store;
  const facts = { isRunner: true, keys: [], filesId: null, leaseMs: 3000 };
  const { joined } = await writer.write({ joined: addNode(facts) });
  const node = joined.rows[0]?.seq ?? 0;
  const settle = (number: number) =>
    writer
      .write(settleLive(oneCall(), { reservations: [], budgeted: [] }, { node, number }, NOW))
      .then(() => "stored", isSettled);
  const spent = async () => {
    const { rows } = await client.execute("SELECT tasks, cost_usd FROM api_key_usage");
    return rows.map((row) => [row["tasks"], row["cost_usd"]]);
  };

  expect([await settle(1), await settle(1)]).toEqual(["stored", true]);
  expect(await spent()).toEqual([[1, 0.5]]);
  expect([await settle(2), await settle(1), await settle(2)]).toEqual(["stored", true, true]);
  expect(await spent()).toEqual([[2, 1]]);
  // Nor is it stored again if the process was declared dead meanwhile, and comes back with the same number.
  await writer.write({ forgotten: forgetNode(node), back: heartbeat(node, facts) });
  expect([await settle(2), await settle(3)]).toEqual([true, "stored"]);
  expect(await spent()).toEqual([[3, 1.5]]);
  // The engine tries again after any other failure.
  expect(isSettled(new Error("database is locked"))).toBe(false);
});
