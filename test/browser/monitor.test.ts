import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import type { BrowserContextOptions, Page } from "playwright-core";

import { launchBrowser } from "../support/browser.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { fail, gate, hang, startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Json, KEY, startServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

/** SCREENSHOTS=1 keeps the documentation's pictures up to date. */
const KEEP_SCREENSHOTS = process.env["SCREENSHOTS"] === "1";
const SHOTS = "examples/screenshots";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

/** The page, watched: whatever it logs as an error, and whoever else it asks. */
async function openMonitor(
  app: { url: string },
  options: BrowserContextOptions = {},
  key = KEY,
  prepare: (page: Page) => Promise<unknown> = async () => undefined,
) {
  if (!browser) throw new Error("there is no browser");
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(app.url) && !url.startsWith("blob:")) problems.push(`asked ${url}`);
  });
  await prepare(page);
  await page.goto(app.url);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Open the monitor" }).click();
  return { page, problems, [Symbol.asyncDispose]: () => context.close() };
}

async function seriousFindings(page: Page): Promise<Json[]> {
  // As text that the page's policy lets only a debugger run.
  const axe = await Bun.file(createRequire(import.meta.url).resolve("axe-core/axe.min.js")).text();
  await page.evaluate(axe);
  const { violations } = (await page.evaluate("axe.run()")) as Json;
  return violations
    .filter(({ impact }: Json) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }: Json) => [id, nodes[0]?.html, nodes[0]?.failureSummary]);
}

async function keep(page: Page, name: string): Promise<void> {
  if (!KEEP_SCREENSHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

const row = (page: Page, id: string) => page.locator(`tr[data-batch="${id}"]`);
const prompts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `Describe entry ${i}`, model: "gpt-4o" }));

describe.skipIf(!browser)("the monitor", () => {
  test("lets nobody in without a key, and keeps it in the tab alone", async () => {
    await using app = await startServer();
    await using wrong = await openMonitor(app, {}, "wrong");
    await wrong.page.getByRole("alert").getByText("API key").waitFor();
    await using right = await openMonitor(app);
    await right.page.getByText("Live", { exact: true }).waitFor();
    expect(
      await right.page.evaluate("[localStorage.length, document.cookie, location.href]"),
    ).toEqual([0, "", `${app.url}/`]);
    await right.page.reload();
    await right.page.getByText("Live", { exact: true }).waitFor();
    await right.page.getByRole("button", { name: "Log out" }).click();
    expect(await right.page.evaluate("sessionStorage.length")).toBe(0);
  });

  test("shows a batch while it runs, pauses it, lets it go on, and asks nobody else", async () => {
    const { opened, open } = gate();
    let answered = 0;
    await using provider = await startProvider(async () => {
      if (++answered > 30) await opened;
      return undefined;
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(60) });
    await using monitor = await openMonitor(app);
    const { page, problems } = monitor;
    await page.getByRole("button", { name: "Run Entries" }).click();
    const bar = row(page, "b").getByRole("progressbar");
    await until(async () => Number(await bar.getAttribute("aria-valuenow")) === 50 || undefined);
    await page.getByRole("button", { name: "Pause Entries" }).click();
    await row(page, "b").getByText("paused", { exact: true }).waitFor();
    expect((await app.get("/batches/b")).body.data.status).toBe("paused");
    open();
    await page.getByRole("button", { name: "Resume Entries" }).click();
    await row(page, "b").getByText("completed", { exact: true }).waitFor();
    await row(page, "b").getByText("60 / 60").waitFor();
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download the results of Entries" }).click(),
    ]);
    expect(saved.suggestedFilename()).toBe("b-results.csv");
    expect((await Bun.file(await saved.path()).text()).trim().split("\n")).toHaveLength(61);
    const [workbook] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Excel: the results of Entries" }).click(),
    ]);
    expect(workbook.suggestedFilename()).toBe("b-results.xlsx");
    expect(
      await Bun.file(await workbook.path())
        .slice(0, 2)
        .text(),
    ).toBe("PK");
    expect(problems).toEqual([]);
  });

  test("does the whole job: uploads a file, runs it, and shows a task's answer", async () => {
    await using app = await startServer();
    await using monitor = await openMonitor(app);
    const { page, problems } = monitor;
    await page.getByRole("button", { name: "Upload and run" }).click();
    await page.getByLabel("CSV or JSONL file").setInputFiles({
      name: "cities.csv",
      mimeType: "text/csv",
      buffer: Buffer.from("city,language\nParis,French\n東京,Japanese\n"),
    });
    await page.getByText("columns: city,language").waitFor();
    await page.getByLabel("Prompt template").fill("Describe {{city}} in {{language}}.");
    await page.getByRole("dialog").getByRole("button", { name: "Upload and run" }).click();
    await page.getByText("2 / 2").waitFor();
    await page.getByRole("link", { name: "cities.csv" }).click();
    await page.getByRole("dialog").getByRole("link").nth(1).click();
    await page.getByText("user: Describe 東京 in Japanese.").waitFor();
    await page.getByText("attempt 1: completed").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "New task" }).click();
    await page.getByLabel("Prompt").fill("Say hello");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("user: Say hello").waitFor();
    expect(problems).toEqual([]);
  });

  test("shows what failed and why, which schedules and webhooks there are, and what ails", async () => {
    await using provider = await startProvider(({ prompt }, response) =>
      prompt.endsWith("7") ? fail(response, 400) : undefined,
    );
    await using receiver = await startReceiver((_, response) => response.writeHead(500).end());
    await using app = await startServer({ ...provider.env, ...receiver.env });
    await Bun.write(`${app.filesDir}/cities.csv`, "city\nParis\n");
    await app.post("/scheduled-tasks", {
      name: "Nightly",
      schedule: "0 3 1 1 *",
      inputFile: "cities.csv",
      config: { promptTemplate: "Describe {{city}}", model: "gpt-4o" },
    });
    await app.post("/webhooks", { url: receiver.url, events: ["batch.completed"] });
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(30) });
    await app.post("/batches/b/execute");
    await app.finished("b");
    await until(async () => {
      const { body } = await app.get("/webhooks");
      return body.data.webhooks[0].failingSince ?? undefined;
    });
    await using monitor = await openMonitor(app);
    const { page, problems } = monitor;
    await page.getByText("webhooks: 1 of 1 webhooks take no deliveries at present").waitFor();
    await page.locator("#webhooks").getByText("failing since").waitFor();
    await page.locator("#nodes").getByText("#1", { exact: true }).waitFor();
    await page.locator("#schedules").getByText("never run").waitFor();
    await page.getByRole("button", { name: "Run Nightly now" }).click();
    await page.locator("#schedules").getByText("completed").waitFor();
    await page
      .locator("#failures tr", { hasText: "PROVIDER_REJECTED_REQUEST" })
      .getByRole("link")
      .click();
    const drawer = page.getByRole("dialog");
    await drawer.getByText("attempt 1: failed").waitFor();
    await drawer.getByRole("link", { name: "b", exact: true }).click();
    await drawer.getByLabel("Tasks shown").selectOption("failed");
    await until(async () => (await drawer.locator("tbody tr").count()) === 3 || undefined);
    expect(problems).toEqual([]);
  });

  test("says in each panel that there is nothing yet, or what is wrong", async () => {
    await using app = await startServer();
    await using empty = await openMonitor(app);
    for (const [id, text] of Object.entries({
      batches: "No batch yet.",
      "charts-note": "No task ended in this period.",
      failures: "Nothing failed.",
      flight: "No call is under way.",
      models: "No task ended in this period.",
      schedules: "No schedule.",
      webhooks: "No webhook.",
    }))
      await empty.page
        .locator(`#${id}`)
        .getByText(text)
        .or(empty.page.locator(`#${id}`, { hasText: text }))
        .first()
        .waitFor();
    await using broken = await openMonitor(app, {}, KEY, (page) =>
      page.route(
        /\/api\/v1\/(metrics|batches|tasks|scheduled|webhooks|status\/services)/,
        (route) =>
          route.fulfill({
            status: 500,
            json: { error: { code: "INTERNAL_ERROR", message: "Something went wrong" } },
          }),
      ),
    );
    for (const id of [
      "tiles",
      "batches",
      "charts-note",
      "failures",
      "flight",
      "models",
      "providers",
      "schedules",
      "webhooks",
      "nodes",
    ])
      await broken.page.locator(`#${id}`, { hasText: "Something went wrong" }).waitFor();
  });

  test("can be used with the keyboard while it changes, and cancels only who means it", async () => {
    await using provider = await startProvider(() => hang());
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(4) });
    await app.post("/batches/b/execute");
    await using monitor = await openMonitor(app);
    const { page } = monitor;
    const focused = () =>
      page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent",
      );
    await page.getByRole("button", { name: "Pause Entries" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Resume Entries" }).waitFor();
    expect(await focused()).toBe("Resume Entries");
    await app.post("/batches", { id: "c", name: "Others", tasks: prompts(2) });
    await row(page, "c").waitFor();
    expect(await focused()).toBe("Resume Entries");
    await page.getByRole("button", { name: "Cancel Entries" }).focus();
    await page.keyboard.press("Enter");
    await page.getByText("Really?").waitFor();
    expect((await app.get("/batches/b")).body.data.status).toBe("paused");
    await page.keyboard.press("Enter");
    await row(page, "b").getByText("cancelled", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Run cancelled Entries" }).click();
    await row(page, "b").getByText("running", { exact: true }).waitFor();
    await row(page, "b").getByRole("link").press("Enter");
    await page.getByRole("dialog").getByText("Id", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    expect(await focused()).toBe("Entries");
  });

  test("offers a reader's key nothing to change", async () => {
    await using app = await startServer();
    const { key } = (await app.post("/api-keys", { name: "Reader", scopes: ["read"] })).body.data;
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(2) });
    await using monitor = await openMonitor(app, {}, key);
    await row(monitor.page, "b").getByText("pending").waitFor();
    expect(await monitor.page.getByRole("button", { name: /New task|Upload|Run/ }).count()).toBe(0);
  });

  test("says when the connection is lost, and when it is back", async () => {
    using folder = temporaryFolder();
    await using first = await startProcess({ DATA_DIR: folder.path });
    const url = first.url ?? "";
    await using monitor = await openMonitor({ url });
    const { page } = monitor;
    await page.getByText("Live", { exact: true }).waitFor();
    await first.kill();
    await page.getByText("The connection to the server is down.").waitFor();
    await keep(page, "offline");
    await using second = await startProcess({ DATA_DIR: folder.path, PORT: new URL(url).port });
    expect(second.url).toBe(url);
    await page.getByText("Connected again; nothing was missed.").waitFor();
  });

  test("stays responsive with a thousand events a second", async () => {
    await using app = await startServer({ MAX_CONCURRENCY: "512" });
    await using monitor = await openMonitor(app);
    const { page } = monitor;
    await page.getByText("Live", { exact: true }).waitFor();
    await app.post("/batches", { id: "b", name: "Many", tasks: prompts(6000) });
    await page.evaluate(`longest = 0; new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
      }).observe({ type: "longtask" });
      worst = 0; last = performance.now();
      tick = () => { const now = performance.now(); worst = Math.max(worst, now - last); last = now; requestAnimationFrame(tick); };
      tick(); void 0`);
    await app.post("/batches/b/execute");
    await row(page, "b").getByText("completed", { exact: true }).waitFor();
    // Far below what a person takes for frozen, on a machine that runs the server, too.
    expect(Number(await page.evaluate("worst"))).toBeLessThan(1000);
    expect(Number(await page.evaluate("longest"))).toBeLessThan(1000);
  });

  test("is readable by all: no serious finding, light, dark, on a phone, in a drawer", async () => {
    await using provider = await startProvider(async ({ prompt, earlier }, response) => {
      if (prompt.includes("slow")) await hang();
      if (prompt.endsWith("7") && earlier === 0) {
        response.writeHead(400, { "content-type": "application/json" });
        response.end(
          '{"error":{"message":"The prompt is too long","code":"context_length_exceeded"}}',
        );
      }
      return undefined;
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "16" });
    await app.post("/batches", { id: "done", name: "Product reviews", tasks: prompts(120) });
    await app.post("/batches/done/execute");
    await app.finished("done");
    await app.post("/batches", { id: "open", name: "Interviews", tasks: prompts(40) });
    await app.post("/batches", {
      id: "running",
      name: "Catalogue translations",
      tasks: [...prompts(80), ...prompts(60).map(({ prompt }) => ({ prompt: `${prompt} slow` }))],
    });
    await app.post("/batches/running/execute");
    for (const [name, options] of Object.entries({
      light: { colorScheme: "light" },
      dark: { colorScheme: "dark" },
      phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 },
    } as const)) {
      await using monitor = await openMonitor(app, options);
      const { page } = monitor;
      await row(page, "running").getByText("running").waitFor();
      await page.getByText("CONTEXT_LENGTH_EXCEEDED").first().waitFor();
      await page.locator("#models table").waitFor();
      expect([name, await seriousFindings(page)]).toEqual([name, []]);
      await keep(page, `monitor-${name}`);
      if (name === "phone") continue;
      await page.getByRole("link", { name: "Product reviews" }).click();
      await page.getByRole("dialog").getByText("The prompt is too long").first().waitFor();
      expect([name, await seriousFindings(page)]).toEqual([name, []]);
      await keep(page, `batch-${name}`);
    }
  });

  test("shows each provider: what its limits leave, that it asked to wait, that it is down", async () => {
    await using throttled = await startProvider((_request, response) => {
      response.setHeader("x-ratelimit-limit-requests", "6000");
      response.setHeader("x-ratelimit-remaining-requests", "5400");
      response.setHeader("x-ratelimit-reset-requests", "6s");
      return undefined;
    });
    await using down = await startProvider((_request, response) => fail(response, 503));
    using folder = temporaryFolder();
    const path = join(folder.path, "providers.json");
    const file = {
      providers: [
        { name: "steady", baseUrl: throttled.url, models: ["gpt-4o*"], maxConcurrency: 32 },
        { name: "shaky", baseUrl: down.url, models: ["llama-*"] },
      ],
      fallbacks: { "llama-*": ["gpt-4o"] },
    };
    writeFileSync(path, JSON.stringify(file));
    await using app = await startServer({
      PROVIDERS_FILE: path,
      RETRY_BASE_MS: "60000",
      RETRY_MAX_MS: "60000",
      MAX_RETRIES: "0",
    });
    for (const id of ["a", "b"]) {
      await app.post("/tasks?execute=true", { id, prompt: id, model: "llama-3" });
      await app.ended(id);
    }
    await app.post("/tasks?execute=true", { id: "c", prompt: "c", model: "llama-3" });
    expect(await app.ended("c")).toMatchObject({ status: "completed", provider: "steady" });
    await using monitor = await openMonitor(app);
    const panel = monitor.page.locator("#providers");
    await panel.getByText("steady").waitFor();
    await panel.getByText(/5,\d{3} of 6,000\/min/).waitFor();
    await panel.getByText("told by answers").waitFor();
    await panel.getByText("0 of at most 32 calls in flight").waitFor();
    await panel.getByText(/Gets no calls because they failed; asked again in/).waitFor();
    expect(await panel.locator(".badge").allTextContents()).toEqual(["healthy", "degraded"]);
    await panel.scrollIntoViewIfNeeded();
    await keep(monitor.page, "providers");
    expect(await seriousFindings(monitor.page)).toEqual([]);
    expect(monitor.problems).toEqual([]);
  });
});
