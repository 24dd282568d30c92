import { afterAll, expect, test } from "bun:test";

import { launchBrowser } from "../support/browser.ts";
import { client, KEY, startServer } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

const LONG_ID = "a-batch-with-a-rather-long-identifier-that-nobody-can-read";
const UNAUTHORIZED = { success: false, error: { code: "UNAUTHORIZED" } };

test.skipIf(!browser)(
  "the page fits into 320 pixels, says which batches it counts, and a late 401 of an old key ends no new session",
  async () => {
    await using app = await startServer({ SIMULATOR_LATENCY_MS: "600000" });
    const { key, id } = (await app.post("/api-keys", { name: "short" })).body.data;
    await client(app.url, key).post("/batches", {
      id: LONG_ID,
      tasks: [{ prompt: "x" }],
    });
    const context = await browser?.newContext({ viewport: { width: 320, height: 640 } });
    const page = await context?.newPage();
    if (!context || !page) return;
    const logIn = async (text: string) => {
      await page.getByLabel("API key").fill(text);
      await page.getByRole("button", { name: "Open the monitor" }).click();
      await page.getByText("a-batch-with").first().waitFor();
    };
    const { promise: isHeld, resolve: hold } = Promise.withResolvers<() => Promise<void>>();
    await page.route(
      "**/api/v1/metrics",
      (route) => hold(() => route.fulfill({ status: 401, json: UNAUTHORIZED })),
      { times: 1 },
    );
    await page.clock.install();
    await page.goto(app.url);
    await logIn(key);
    await app.post(`/batches/${LONG_ID}/execute`);
    await page.getByText("of the newest 1: 1 running").waitFor();
    // Wide tables scroll in their own panels.
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(320);
    const answerLate = await isHeld;
    await page.getByRole("button", { name: "Log out" }).click();
    await logIn(KEY);
    const late = page.waitForResponse((response) => response.status() === 401);
    await answerLate();
    await late;
    const next = page.waitForResponse("**/api/v1/metrics");
    await page.clock.fastForward(60_000);
    expect((await next).status()).toBe(200);
    expect(await page.getByRole("button", { name: "Log out" }).isVisible()).toBe(true);
    await app.del(`/api-keys/${id}`);
    await app.post(`/batches/${LONG_ID}/cancel`);
    await context.close();
  },
);
