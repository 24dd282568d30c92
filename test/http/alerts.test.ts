import { expect, test } from "bun:test";

import { clearAlert, raiseAlert } from "../../src/services/alerts.ts";
import { startServer } from "../support/server.ts";

test("alerts are listed while they are open, and in a history when they are over, page by page", async () => {
  await using app = await startServer();
  expect((await app.get("/alerts")).body.data).toMatchObject({ open: [], history: [] });
  const full = { code: "disk.nearly_full", message: "The disk is nearly full" } as const;
  const gone = { code: "webhook.disabled", subject: "wh-1", message: "It is gone" } as const;
  await raiseAlert(app.ctx, full);
  await raiseAlert(app.ctx, gone);
  // An alert that is already raised is not reported again.
  await raiseAlert(app.ctx, gone);
  await clearAlert(app.ctx, "disk.nearly_full");
  // It has no other events.
  await app.post("/tasks", { prompt: "x" });
  const { open, history, pagination } = (await app.get("/alerts?limit=2")).body.data;
  expect(open).toMatchObject([{ ...gone, raisedAt: expect.any(String) }]);
  expect(history).toMatchObject([
    { code: "disk.nearly_full", status: "cleared", subject: null },
    { ...gone, status: "raised" },
  ]);
  expect(pagination.total).toBe(3);
  const next = (await app.get(`/alerts?limit=2&cursor=${pagination.nextCursor}`)).body.data;
  expect(next.history).toMatchObject([{ ...full, subject: null, status: "raised" }]);
  expect(next.pagination.nextCursor).toBeNull();
});
