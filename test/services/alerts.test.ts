import { expect, test } from "bun:test";

import { clearAlert, listOpenAlerts, raiseAlert } from "../../src/services/alerts.ts";
import { startServer } from "../support/server.ts";

test("an alert is reported once until it is cleared, however often it is raised", async () => {
  await using app = await startServer();
  const alert = { code: "disk.nearly_full", message: "2 % are free" } as const;
  const raised = await Promise.all(Array.from({ length: 20 }, () => raiseAlert(app.ctx, alert)));
  expect(raised.filter(Boolean)).toHaveLength(1);
  expect(await listOpenAlerts(app.ctx)).toMatchObject([{ ...alert, subject: "" }]);

  const cleared = await Promise.all(
    Array.from({ length: 20 }, () => clearAlert(app.ctx, "disk.nearly_full")),
  );
  expect(cleared.filter(Boolean)).toHaveLength(1);
  expect(await listOpenAlerts(app.ctx)).toEqual([]);

  expect(await raiseAlert(app.ctx, alert)).toBe(true);
  expect(await reportedBy(app)).toEqual(["raised", "cleared", "raised"]);
});

test("alerts about different subjects are different alerts", async () => {
  await using app = await startServer();
  for (const subject of ["wh-1", "wh-2"])
    await raiseAlert(app.ctx, { code: "webhook.disabled", subject, message: "it is gone" });
  await clearAlert(app.ctx, "webhook.disabled", "wh-1");
  expect(await listOpenAlerts(app.ctx)).toMatchObject([{ subject: "wh-2" }]);
});

async function reportedBy(app: {
  ctx: { client: { execute(sql: string): Promise<{ rows: unknown }> } };
}) {
  const { rows } = await app.ctx.client.execute(
    "SELECT data ->> 'status' AS status FROM events WHERE type = 'system.alert' ORDER BY id",
  );
  return (rows as { status: string }[]).map(({ status }) => status);
}
