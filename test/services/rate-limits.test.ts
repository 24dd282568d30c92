import { expect, test } from "bun:test";

import { createRateLimiter } from "../../src/services/rate-limits.ts";
import { startServer } from "../support/server.ts";

test("processes that share a database never let through more than a key's limit together", async () => {
  await using app = await startServer();
  app.ctx.clock.now = () => Date.parse("2026-01-01T08:30:00Z");
  const processes = [1, 2, 3].map(() => createRateLimiter({ ...app.ctx, isExclusive: false }));
  const caller = { key: 7, rateLimitPerMinute: 20 } as Parameters<(typeof processes)[0]>[0];
  const allowed = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => (await processes[i % 3]?.(caller))?.isAllowed),
  );
  expect(allowed.filter(Boolean)).toHaveLength(20);
});
