import { describe, expect, test } from "bun:test";

import type { PostWebhook } from "../../src/context.ts";
import { createEndpoints } from "../../src/courier/endpoints.ts";
import {
  deliveryCeiling,
  FIRST_LATENCY_MS,
  isQuick,
  nextKind,
  shareDeliveries,
  weightOf,
} from "../../src/domain/delivery-slots.ts";
import type { Attempt } from "../../src/domain/webhook.ts";
import type { Delivery } from "../../src/store/deliveries.ts";
import type { Webhook } from "../../src/store/webhooks.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

const OK = { status: 200, retryAfter: undefined, text: "", isPrivate: false };
const never = () => new Promise<never>(() => {});

/** Receivers, by the first part of their host name. `behave` decides when each answers, if at all. */
function receivers(behave: Record<string, (id: string) => Promise<unknown>>) {
  const received = new Map<string, string[]>();
  const postWebhook: PostWebhook = async (url, { headers, body }) => {
    const kind = new URL(url).hostname.split(".")[0] ?? "";
    await behave[kind]?.(headers["webhook-id"] ?? "");
    received.set(kind, [...(received.get(kind) ?? []), body]);
    return OK;
  };
  return { postWebhook, of: (kind: string) => received.get(kind) ?? [] };
}

async function subscribe(app: TestServer, kind: string, count = 1): Promise<string[]> {
  const made = Array.from({ length: count }, async (_, i) => {
    const hook = { url: `https://${kind}.example/${i}`, events: ["task.created"] };
    const { body } = await app.post("/webhooks", hook);
    return body.data.id as string;
  });
  return Promise.all(made);
}

const someTasks = (app: TestServer, count: number) =>
  Promise.all(Array.from({ length: count }, () => app.post("/tasks", { prompt: "x" })));

const load = (key: string, latencyMs: number, inFlight = 0, most = 8) => ({
  key,
  latencyMs,
  weight: weightOf(latencyMs),
  inFlight,
  ready: 100,
  lastServed: 0,
  most,
});

describe("endpoints", () => {
  test("that hang or answer after ten seconds do not delay healthy ones", async () => {
    const { postWebhook, of } = receivers({
      hanging: never,
      slow: never,
      quick: () => Bun.sleep(2),
    });
    await using app = await startServer({ MAX_WEBHOOKS: "0" }, { postWebhook });
    await subscribe(app, "hanging", 40);
    await subscribe(app, "slow", 16);
    await someTasks(app, 30);
    await until(
      async () =>
        (await app.get("/status/services/webhooks")).body.data.details.active === 56 || undefined,
    );
    await subscribe(app, "quick");
    await someTasks(app, 200);
    await until(() => of("quick").length === 200 || undefined, 5000);
  });

  test("share the slots so that a quick one always finds some", () => {
    const hanging = Array.from({ length: 300 }, (_, i) => load(`h${i}`, 15_000));
    const shares = [...shareDeliveries([...hanging, load("quick", 20)], 256)];
    const quick = shares.find(([{ key }]) => key === "quick");
    expect(quick?.[1]).toBe(8);
    expect(shares.reduce((sum, [, count]) => sum + count, 0)).toBeLessThanOrEqual(200);
    // A slow endpoint may use all slots if no other needs them, and otherwise gets a share.
    expect([...shareDeliveries([load("slow", 10_000)], 256).values()]).toEqual([8]);
    expect(deliveryCeiling(load("slow", 10_000), 1, 256)).toBe(128);
    expect(deliveryCeiling(load("slower", 2000), 3, 256)).toBe(160);
  });

  test("with nothing in flight get the next slots, however many wait for quick ones", () => {
    // Each has as many deliveries waiting as there are slots, and all slots are taken that may be.
    const busy = Array.from({ length: 10 }, (_, i) => load(`b${i}`, 500, 0, 32));
    for (const [endpoint, count] of shareDeliveries(busy, 256)) endpoint.inFlight += count;
    expect(busy.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(224);
    // The latency of an endpoint that has not answered yet is not known, so it counts as slow.
    for (const latencyMs of [20, FIRST_LATENCY_MS, 10_000]) {
      const idle = Array.from({ length: 32 }, (_, i) => load(`i${i}`, latencyMs, 0, 1));
      const starts = shareDeliveries([...busy, ...idle], 256);
      expect([starts.size, new Set(starts.values())]).toEqual([32, new Set([1])]);
      expect(busy.some((endpoint) => starts.has(endpoint))).toBe(false);
    }
  });
});

test("an endpoint counts as slow while it does not answer, and as quick again after some quick answers", () => {
  const endpoints = createEndpoints();
  // Only the row number and the delivery's number are read.
  endpoints.set([{ seq: 1 } as Webhook]);
  const [endpoint] = endpoints.all();
  const answered = (latencyMs: number, at: number) =>
    endpoint?.note({ status: 200, latencyMs } as Attempt, at, 0.5);
  answered(20, 0);
  expect(endpoint?.latencyAt(0)).toBe(20);
  endpoint?.inFlight.set(7, { delivery: { seq: 7 } as Delivery, kind: "live", since: 1000 });
  expect(endpoint?.latencyAt(11_000)).toBe(10_000);
  endpoint?.inFlight.delete(7);
  answered(10_000, 11_000);
  expect(isQuick(endpoint?.latencyAt(11_000) ?? 0)).toBe(false);
  for (let i = 0; i < 4; i++) answered(20, 12_000);
  expect(isQuick(endpoint?.latencyAt(12_000) ?? Infinity)).toBe(true);
});

describe("a replay", () => {
  test("of thousands of deliveries does not delay new events", async () => {
    const { postWebhook, of } = receivers({ quick: () => Bun.sleep(20) });
    await using app = await startServer({}, { postWebhook });
    const [id = ""] = await subscribe(app, "quick");
    await app.ctx.writer.write({
      old: {
        sql: `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
              INSERT INTO webhook_deliveries (webhook, event, type, body, at, status)
              SELECT 1, -i, 'task.created', '{"old":' || i || '}', 1, 'delivered' FROM n`,
        args: [],
      },
    });
    const since = new Date(0).toISOString();
    const { body } = await app.post(`/webhooks/${id}/replay`, { since });
    expect(body.data.deliveries).toBe(3000);
    await until(() => of("quick").length > 50 || undefined);
    const before = of("quick").length;
    await app.post("/tasks", { prompt: "x" });
    await until(() => of("quick").some((body) => body.includes("task.created")) || undefined);
    expect(of("quick").length - before).toBeLessThan(200);
  });

  test("includes deliveries that wait for their next attempt", async () => {
    let isDown = true;
    const postWebhook: PostWebhook = async () => ({ ...OK, status: isDown ? 503 : 200 });
    await using app = await startServer({}, { postWebhook });
    const [id = ""] = await subscribe(app, "any");
    const all = async () => (await app.get(`/webhooks/${id}/deliveries`)).body.data.deliveries;
    await app.post("/tasks", { prompt: "x" });
    await until(async () => (await all())[0]?.nextAttemptAt ?? undefined);
    isDown = false;
    const since = new Date(0).toISOString();
    const { body } = await app.post(`/webhooks/${id}/replay`, { since, onlyFailed: true });
    expect(body.data.deliveries).toBe(1);
    await until(async () => (await all())[0]?.status === "delivered" || undefined);
  });

  test("to an endpoint that is switched off is kept, and sent when it is switched on", async () => {
    const { postWebhook, of } = receivers({});
    await using app = await startServer({}, { postWebhook });
    const [id = ""] = await subscribe(app, "any");
    const total = async (query: string) =>
      (await app.get(`/webhooks/${id}/deliveries?${query}`)).body.data.pagination.total;
    await someTasks(app, 3);
    await until(async () => (await total("status=delivered")) === 3 || undefined);
    await app.patch(`/webhooks/${id}`, { isActive: false });
    await someTasks(app, 2);
    const since = new Date(0).toISOString();
    const { body } = await app.post(`/webhooks/${id}/replay`, { since });
    expect(body.data.deliveries).toBe(3);
    expect([await total("status=pending"), of("any").length]).toEqual([3, 3]);
    await app.patch(`/webhooks/${id}`, { isActive: true });
    // With the events that it has missed.
    await until(async () => (await total("status=delivered")) === 5 || undefined);
    expect(of("any")).toHaveLength(8);
    expect(new Set(of("any")).size).toBe(5);
  });

  test("and new events take turns with one slot, and neither uses all of many slots", () => {
    const both = { live: 10, late: 10 };
    const none = { live: 0, late: 0 };
    expect(nextKind(none, both, { most: 1, last: "live" })).toBe("late");
    expect(nextKind(none, both, { most: 1, last: "late" })).toBe("live");
    expect(nextKind({ live: 3, late: 0 }, both, { most: 8, last: "live" })).toBe("late");
    expect(nextKind({ live: 2, late: 1 }, both, { most: 8, last: "late" })).toBe("live");
    const late = { live: 0, late: 10 };
    expect(nextKind({ live: 0, late: 6 }, late, { most: 8, last: "late" })).toBe("late");
    expect(nextKind({ live: 0, late: 7 }, late, { most: 8, last: "late" })).toBeUndefined();
  });
});
