import { expect, test } from "bun:test";

import type { Context, Topics } from "../../src/context.ts";
import { createMembership } from "../../src/engine/recovery.ts";
import { createSignals } from "../../src/lib/signals.ts";
import { ensureKeys } from "../../src/services/first-keys.ts";
import { revokeForsakenKeys } from "../../src/store/api-keys.ts";
import { forgetNode } from "../../src/store/nodes.ts";
import { client, startServer, type TestServer, until } from "../support/server.ts";

const SECRET = "key-of-another-process";

/** Another process of a fleet, with a key of its own, on the database of a server in this process. */
function givenProcess(app: TestServer) {
  const signals = createSignals<Topics>();
  const state = { losesAnswers: false, lost: 0 };
  signals.on("lost", () => state.lost++);
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      const results = await app.ctx.writer.write(unit, options);
      if (state.losesAnswers) throw new Error("the answer was lost");
      return results;
    },
  };
  const ctx: Context = {
    ...app.ctx,
    signals,
    writer,
    isExclusive: false,
    live: { ...app.ctx.live },
    config: { ...app.ctx.config, apiKeys: [SECRET], leaseMs: 60 },
  };
  return { ctx, state, membership: createMembership(ctx) };
}

/** What the heartbeat of a node does with keys that no living node has. */
const revokeForsaken = ({ ctx }: TestServer) =>
  ctx.writer.write({ forsaken: revokeForsakenKeys([], ctx.clock.now()) });

const statusFor = async ({ url }: TestServer) => (await client(url, SECRET).get("/models")).status;

test("a key is valid although another node revoked it before the process that has it had joined", async () => {
  await using app = await startServer();
  const { ctx, membership } = givenProcess(app);
  await ensureKeys(ctx);
  await revokeForsaken(app);
  expect(await statusFor(app)).toBe(401);
  await membership.start();
  await revokeForsaken(app);
  expect(await statusFor(app)).toBe(200);
  await membership.stop();
});

test("a process that was declared dead has its keys again, although the answer to its heartbeat was lost", async () => {
  await using app = await startServer();
  const { state, membership } = givenProcess(app);
  await membership.start();
  expect(state.lost).toBe(0);
  state.losesAnswers = true;
  const { writer, client: database, clock } = app.ctx;
  await writer.write({
    forgotten: forgetNode(membership.node()),
    forsaken: revokeForsakenKeys([], clock.now()),
  });
  const row = { sql: "SELECT 1 FROM nodes WHERE seq = ?", args: [membership.node()] };
  await until(async () => (await database.execute(row)).rows.length > 0 || undefined);
  state.losesAnswers = false;
  await until(() => state.lost > 0 || undefined);
  await until(async () => (await statusFor(app)) === 200 || undefined);
  await membership.stop();
});
