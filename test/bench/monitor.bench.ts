import { type Page } from "playwright-core";

import { launchBrowser } from "../support/browser.ts";
import { browserPath } from "../support/tools.ts";
import { printTable, quantile, round, startRunner } from "./support.ts";

const SECONDS = 20;
/** Each task is an event when it starts and one when it ends. */
const TASKS_A_SECOND = 500;

/** What a thousand events a second cost the page that follows them: frames, and tasks that block it for 50 ms or longer. */
export async function benchMonitor(): Promise<void> {
  if (!browserPath) return void console.log("There is no browser to measure the monitor in.");
  const runner = await startRunner({
    PROVIDER_RPM: String(TASKS_A_SECOND * 60),
    SIMULATOR_LATENCY_MS: "20",
    MAX_CONCURRENCY: "512",
  });
  const browser = await launchBrowser();
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  await page.goto(runner.url);
  await page.getByLabel("API key").fill("bench");
  await page.getByRole("button", { name: "Open the page" }).click();
  await page.getByText("Live", { exact: true }).waitFor();
  const idle = await watch(page);
  const tasks = Array.from({ length: TASKS_A_SECOND * (SECONDS + 10) }, () => ({
    prompt: "Hello",
  }));
  await runner.api("POST", "/batches", { id: "b", name: "Many", tasks });
  await runner.api("POST", "/batches/b/execute");
  // The bucket is full at first: what comes of that is over when the pace is that of the limit.
  await page.waitForTimeout(3000);
  const before = (await runner.api("GET", "/batches/b?limit=1")).progress.completed;
  const busy = await watch(page);
  const after = (await runner.api("GET", "/batches/b?limit=1")).progress.completed;
  printTable("The monitor while events come", [
    { events: "none", "a second": 0, ...idle },
    { events: "starts and ends", "a second": round((2 * (after - before)) / SECONDS), ...busy },
  ]);
  await browser.close();
  await runner.stop();
}

/** Frames and long tasks of a page, and the share of the time that its main thread is busy. */
async function watch(page: Page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const busySeconds = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
  };
  const before = await busySeconds();
  const { frames, tasks } = (await page.evaluate(`new Promise((resolve) => {
    const frames = [], tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)));
    observer.observe({ type: "longtask" });
    const end = performance.now() + ${SECONDS * 1000};
    let last = performance.now();
    const frame = (now) => {
      frames.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(frame);
      else resolve({ frames: frames.slice(1), tasks });
    };
    requestAnimationFrame(frame);
  })`)) as { frames: number[]; tasks: number[] };
  const busy = ((await busySeconds()) - before) / SECONDS;
  await session.detach();
  return {
    "frame p50 ms": round(quantile(frames, 0.5), 1),
    p99: round(quantile(frames, 0.99), 1),
    max: round(Math.max(...frames), 1),
    "long tasks": tasks.length,
    "longest ms": round(Math.max(0, ...tasks)),
    "main thread busy": round(busy, 3),
  };
}
