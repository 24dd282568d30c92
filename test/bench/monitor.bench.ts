import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Browser, Page } from "playwright-core";

import { launchBrowser } from "../support/browser.ts";
import { until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";
import { fillMillion } from "./million-fill.ts";
import { median, printTable, quantile, round, type Row, startRunner } from "./support.ts";

const SECONDS = 10;
/** Each task is an event when it starts and one when it ends. */
const TASKS_A_SECOND = 500;
const LOADS = 7;
const REPORTS = 20;

type Runner = Awaited<ReturnType<typeof startRunner>>;

/**
 * The page in Chromium: its first load, the delay until it shows a commit, and the cost of a thousand events a second, also
 * with the rows of a batch of a million rows open.
 */
export async function benchMonitor(): Promise<void> {
  if (!browserPath) return void console.log("No browser was found to measure the page in.");
  const folder = mkdtempSync(join(tmpdir(), "bench-monitor-"));
  const env = {
    DATA_DIR: folder,
    PROVIDER_RPM: String(TASKS_A_SECOND * 60),
    SIMULATOR_LATENCY_MS: "20",
    MAX_CONCURRENCY: "512",
  };
  await (await startRunner(env)).stop();
  await fillMillion(join(folder, "task-runner.db"));
  const runner = await startRunner(env);
  const browser = await launchBrowser();
  try {
    printTable("The first load of the page", await firstLoad(browser, runner));
    printTable("From a commit to the screen, ms", await reports(browser, runner));
    await follow(browser, runner);
  } finally {
    await browser.close();
    await runner.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens the page at an address, logged in, in a new browser context, where nothing is cached. */
async function open(browser: Browser, { url }: Runner, at: string, script = ""): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  await context.addInitScript(
    `sessionStorage.setItem("gpt-task-runner-key /", "bench"); ${script}`,
  );
  const page = await context.newPage();
  await page.goto(`${url}/${at}`);
  return page;
}

/** Waits for a figure that the page records, and returns it. */
const figureOf = (page: Page, name: string): Promise<number> =>
  until(async () => Number(await page.evaluate(name)) || undefined);

/**
 * The bytes sent until figures are on the screen, and the time until then, from the request for the address, two frames
 * included. A document of the same server without any files is the baseline: a new process for the document takes most of
 * its time. The two take turns.
 */
async function firstLoad(browser: Browser, runner: Runner): Promise<Row[]> {
  const documents = [
    {
      name: "a document without files",
      path: "/healthz",
      isThere: "document.body",
      loads: [] as Load[],
    },
    {
      name: "the page",
      path: "/",
      isThere: 'document.querySelector("#tiles dl")',
      loads: [] as Load[],
    },
  ];
  for (let i = 0; i < LOADS; i++)
    for (const { path, isThere, loads } of documents)
      loads.push(await load(browser, runner.url + path, isThere));
  const shown = documents.map(({ loads }) => median(loads.map((one) => one.shown)));
  return documents.map(({ name, loads }, i) => ({
    document: name,
    requests: Math.max(...loads.map(({ files }) => files)),
    "kB sent": round(Math.max(...loads.map(({ bytes }) => bytes)) / 1000, 1),
    "answered after ms, p50": round(median(loads.map(({ answered }) => answered))),
    "script ran": round(median(loads.map(({ ran }) => ran))),
    shown: round(shown[i] ?? 0),
    min: round(Math.min(...loads.map((one) => one.shown))),
    max: round(Math.max(...loads.map((one) => one.shown))),
    "times the baseline": round((shown[i] ?? 0) / (shown[0] ?? 1), 1),
  }));
}

type Load = { files: number; bytes: number; answered: number; ran: number; shown: number };

async function load(browser: Browser, url: string, isThere: string): Promise<Load> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  await context.addInitScript(`
    sessionStorage.setItem("gpt-task-runner-key /", "bench");
    new MutationObserver((_, observer) => {
      if (!(${isThere})) return;
      observer.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => (window.shownAt = performance.now())));
    }).observe(document, { subtree: true, childList: true });`);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  let [files, bytes] = [0, 0];
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    files++;
    bytes += encodedDataLength;
  });
  await page.goto(url);
  const shown = await figureOf(page, "window.shownAt");
  const begun = `performance.getEntriesByType("navigation")[0]`;
  const answered = await figureOf(page, `${begun}.responseStart`);
  const ran = await figureOf(page, `${begun}.domContentLoadedEventEnd`);
  await page.waitForLoadState("load");
  await page.waitForTimeout(500);
  await context.close();
  return { files, bytes, answered, ran, shown };
}

/** The time from a commit until a new batch, or the end of its task, is on the screen. */
async function reports(browser: Browser, runner: Runner): Promise<Row[]> {
  const script = `
    window.seen = {};
    new MutationObserver(() => {
      for (const row of document.querySelectorAll("tr[data-batch]"))
        for (const name of [row.dataset.batch, row.dataset.batch + " " + row.querySelector(".badge").textContent])
          if (!(name in seen)) {
            seen[name] = 0;
            requestAnimationFrame(() => requestAnimationFrame(() => (seen[name] = Date.now())));
          }
    }).observe(document, { subtree: true, childList: true, characterData: true });`;
  const page = await open(browser, runner, "", script);
  await page.getByText("Live", { exact: true }).waitFor();
  const created: number[] = [];
  const ended: number[] = [];
  for (let i = 0; i < REPORTS; i++) {
    const id = `report-${i}`;
    const { createdAt } = await runner.api("POST", "/batches", { id, tasks: [{ prompt: "x" }] });
    const shown = (name: string) => figureOf(page, `window.seen[${JSON.stringify(name)}]`);
    created.push((await shown(id)) - Date.parse(createdAt));
    await runner.api("POST", `/batches/${id}/execute`);
    const at = await shown(`${id} completed`);
    const { completedAt } = await runner.api("GET", `/batches/${id}?limit=1`);
    ended.push(at - Date.parse(completedAt));
  }
  await page.context().close();
  const row = (what: string, values: number[]) => ({
    what,
    p50: round(median(values)),
    p99: round(quantile(values, 0.99)),
    max: round(Math.max(...values)),
  });
  return [row("a batch that somebody creates", created), row("the end of its task", ended)];
}

async function follow(browser: Browser, runner: Runner): Promise<void> {
  const overview = await open(browser, runner, "");
  await overview.getByText("Live", { exact: true }).waitFor();
  await overview.locator("#charts").waitFor();
  const idle = await watch(overview);
  const tasks = Array.from({ length: TASKS_A_SECOND * (4 * SECONDS + 20) }, () => ({
    prompt: "Hello",
  }));
  await runner.api("POST", "/batches", { id: "b", name: "Many", tasks });
  await runner.api("POST", "/batches/b/execute");
  // The bucket is full at first. Its burst is over when calls arrive at the rate of the limit.
  await overview.waitForTimeout(3000);
  const ended = async () => (await runner.api("GET", "/batches/b?limit=1")).progress.completed;
  const rows: Row[] = [{ page: "overview", "events a second": 0, ...idle }];
  const measure = async (name: string, page: Page, act?: () => Promise<unknown>) => {
    const before = await ended();
    const [busy] = await Promise.all([watch(page), act?.()]);
    const rate = round((2 * ((await ended()) - before)) / SECONDS);
    rows.push({ page: name, "events a second": rate, ...busy });
  };
  await measure("overview", overview);
  await overview.context().close();
  const grid = await open(browser, runner, "#/batches/million");
  await grid.locator('tr[data-index="0"] .badge').waitFor();
  await measure("a million rows", grid);
  await measure("a million rows, scrolled through", grid, () => scroll(grid));
  printTable("The page while events come", rows);
  await grid.context().close();
}

/** Scrolls with the wheel, and now and then to a distant row. */
async function scroll(page: Page): Promise<void> {
  const box = page.locator(".grid-box");
  await box.hover();
  const end = Date.now() + (SECONDS - 1) * 1000;
  for (let i = 0; Date.now() < end; i++) {
    await page.mouse.wheel(0, 120);
    if (i % 20 === 19) await box.evaluate((one, to) => (one.scrollTop = to), (i * 7919_000) % 1e7);
    await page.waitForTimeout(50);
  }
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
