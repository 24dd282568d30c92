import { expect, test } from "bun:test";
import { existsSync } from "node:fs";

import parsePrometheus from "parse-prometheus-text-format";

import { METERS } from "../../src/domain/meters.ts";
import { label } from "../../src/lib/meters.ts";
import { raiseAlert } from "../../src/services/alerts.ts";
import { fail, startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Json, startServer, until } from "../support/server.ts";

test("a standard parser reads the metrics for Prometheus, and they agree with the work done", async () => {
  await using provider = await startProvider(({ prompt, earlier }, response) => {
    if (prompt === "bad") return fail(response, 400);
    if (prompt === "again" && earlier === 0) return fail(response, 503);
    return undefined;
  });
  await using app = await startServer(provider.env);
  const tasks = ["a", "b", "bad", "again"].map((prompt) => ({ prompt, model: "gpt-4o" }));
  await app.post("/batches", { id: "b", tasks });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await app.post("/tasks", { id: "t", prompt: "x" });
  await app.post("/tasks/t/cancel");

  const answer = await fetch(`${app.url}/metrics`);
  expect(answer.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const families: Json[] = parsePrometheus(await answer.text());
  const of = (name: string) => families.find((family) => family.name === `gptrunner_${name}`);
  const value = (name: string, labels: Record<string, string> = {}) =>
    of(name)?.metrics.find((metric: Json) =>
      Object.entries(labels).every(([key, text]) => metric.labels?.[key] === text),
    )?.value;
  expect(families.every(({ name }) => name.startsWith("gptrunner_"))).toBe(true);
  expect(value("tasks_total", { status: "completed" })).toBe("3");
  expect(value("tasks_total", { status: "failed" })).toBe("1");
  expect(value("tasks_total", { status: "cancelled" })).toBe("1");
  const call = { provider: "openai", model: "gpt-4o" };
  expect(value("provider_requests_total", { ...call, code: "200" })).toBe("3");
  expect(value("provider_requests_total", { ...call, code: "400" })).toBe("1");
  expect(value("provider_requests_total", { ...call, code: "503" })).toBe("1");
  expect(value("tokens_total", { type: "prompt" })).toBe("30");
  expect(Number(value("cost_usd_total"))).toBeGreaterThan(0);
  expect(value("queue_depth")).toBe("0");
  expect(value("provider_throttle_wait_seconds", call)).toBe("0");
  expect(value("open_alerts", { code: "queue.stuck" })).toBe("0");
  expect(Number(value("disk_free_bytes"))).toBeGreaterThan(1_000_000);
  expect(Number(value("database_size_bytes"))).toBeGreaterThan(100_000);
  expect(value("nodes_living")).toBe("1");
  const [duration] = of("task_duration_seconds").metrics;
  expect(duration.count).toBe("4");
  expect(duration.buckets["+Inf"]).toBe("4");
  expect(Object.keys(duration.buckets)).toContain("0.5");
  expect(Object.keys(METERS).filter((name) => !(of(name)?.metrics.length > 0))).toEqual([]);
});

test("a gauge shows how long a limit delays the next call", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, PROVIDER_RPM: "1" });
  for (const id of ["a", "b"])
    await app.post("/tasks?execute=true", { id, prompt: id, model: "gpt-4o" });
  await app.ended("a");
  const text = await (await fetch(`${app.url}/metrics`)).text();
  const [, wait] = /throttle_wait_seconds\{.*model="gpt-4o"\} ([\d.]+)/.exec(text) ?? [];
  expect(Number(wait)).toBeGreaterThan(1);
  expect(Number(wait)).toBeLessThanOrEqual(60);
});

test("an attempt to deliver is counted once, by its outcome", async () => {
  await using receiver = await startReceiver(({ body }, response) =>
    body.data.taskId === "b" ? response.writeHead(503).end() : undefined,
  );
  await using app = await startServer(receiver.env);
  await app.post("/webhooks", { url: receiver.url, events: ["task.created"] });
  for (const id of ["a", "b", "c"]) await app.post("/tasks", { id, prompt: id });
  const counted = await until(async () => {
    const text = await (await fetch(`${app.url}/metrics`)).text();
    const counts = [...text.matchAll(/webhook_deliveries_total\{outcome="(\w+)"\} (\d+)/g)];
    const sum = counts.reduce((total, [, , count]) => total + Number(count), 0);
    return sum >= 3 ? counts.map(([, outcome, count]) => `${outcome} ${count}`) : undefined;
  });
  expect(counted).toEqual(["delivered 2", "retried 1", "failed 0"]);
});

test("a stretch that holds the main thread is in the histogram of its delays", async () => {
  await using app = await startServer();
  const longDelays = async () => {
    const text = await (await fetch(`${app.url}/metrics`)).text();
    const count = (bound: string) =>
      Number(text.split(`event_loop_delay_seconds_bucket{le="${bound}"} `)[1]?.split("\n")[0]);
    return count("+Inf") - count("0.2");
  };
  await until(async () => Number.isFinite(await longDelays()) || undefined);
  const before = await longDelays();
  const end = performance.now() + 300;
  while (performance.now() < end);
  await until(async () => (await longDelays()) > before || undefined);
});

test("the dashboard uses only metrics that are reported", async () => {
  const text = await Bun.file("examples/monitoring/dashboard.json").text();
  const names = [...text.matchAll(/gptrunner_(\w+)/g)].map(([, name = ""]) =>
    name.replace(/_bucket$/, ""),
  );
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !(name in METERS))).toEqual([]);
});

test("compose.yaml mounts only existing files, and the operator's certificate", async () => {
  const text = await Bun.file("compose.yaml").text();
  const mounted = [...text.matchAll(/^ *- \.\/([^:\s]+):/gm)].map(([, path = ""]) => path);
  expect(mounted.length).toBeGreaterThan(3);
  expect(mounted.filter((path) => !existsSync(path) && path !== "deploy/tls")).toEqual([]);
});

test("labels are escaped", () => {
  expect(label("model", 'a"b\\c\nd')).toBe('model="a\\"b\\\\c\\nd"');
});

test("open alerts are counted, by code", async () => {
  await using app = await startServer();
  for (const subject of ["wh-1", "wh-2"])
    await raiseAlert(app.ctx, { code: "webhook.disabled", subject, message: "gone" });
  const text = await (await fetch(`${app.url}/metrics`)).text();
  expect(text).toContain('gptrunner_open_alerts{code="webhook.disabled"} 2\n');
  expect(text).toContain('gptrunner_open_alerts{code="queue.stuck"} 0\n');
});
