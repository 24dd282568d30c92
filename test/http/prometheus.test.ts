import { expect, test } from "bun:test";

import parsePrometheus from "parse-prometheus-text-format";

import { METERS } from "../../src/domain/meters.ts";
import { label } from "../../src/lib/meters.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

test("a stock parser reads what is told to Prometheus, and it agrees with what was done", async () => {
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
  const [duration] = of("task_duration_seconds").metrics;
  expect(duration.count).toBe("4");
  expect(duration.buckets["+Inf"]).toBe("4");
  expect(Object.keys(duration.buckets)).toContain("0.5");
  for (const name of [
    "webhook_deliveries_total",
    "schedule_fires_total",
    "queue_oldest_age_seconds",
  ])
    expect(of(name)?.name).toBe(`gptrunner_${name}`);
});

test("the dashboard asks for nothing that is not told", async () => {
  const text = await Bun.file("examples/monitoring/dashboard.json").text();
  const names = [...text.matchAll(/gptrunner_(\w+)/g)].map(([, name = ""]) =>
    name.replace(/_bucket$/, ""),
  );
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !(name in METERS))).toEqual([]);
});

test("labels are escaped", () => {
  expect(label("model", 'a"b\\c\nd')).toBe('model="a\\"b\\\\c\\nd"');
});
