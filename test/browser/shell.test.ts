import { afterAll, describe, expect, test } from "bun:test";

import { raiseAlert } from "../../src/services/alerts.ts";
import { launchBrowser } from "../support/browser.ts";
import { batchRow, findings, openApp, prompts } from "../support/page.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate } from "../support/provider.ts";
import { client, startServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

describe.skipIf(!browser)("the page", () => {
  test("requires a key, and keeps it only in the tab", async () => {
    await using app = await startServer();
    await using wrong = await openApp(browser, app, { key: "wrong" });
    await wrong.page.getByRole("alert").getByText("API key").waitFor();
    expect(await findings(wrong.page)).toEqual([]);
    await using right = await openApp(browser, app);
    await right.page.getByText("Live", { exact: true }).waitFor();
    expect(
      await right.page.evaluate("[localStorage.length, document.cookie, location.href]"),
    ).toEqual([0, "", `${app.url}/`]);
    const before = right.asked.length;
    await right.page.reload();
    await right.page.getByText("Live", { exact: true }).waitFor();
    // The document requests the state itself, before the script has arrived, and only once.
    const requests = right.asked.slice(before);
    expect(requests.filter((request) => request === "GET /api/v1/live")).toHaveLength(1);
    expect(requests.indexOf("GET /api/v1/live")).toBeLessThan(
      requests.findIndex((request) => request.endsWith("/status")),
    );
    expect(right.problems).toEqual([]);
    await right.page.getByRole("button", { name: "Log out" }).click();
    expect(await right.page.evaluate("sessionStorage.length")).toBe(0);
  });

  test("logs in once with the link of the first start, and removes the token from the address", async () => {
    await using app = await startServer({ API_KEYS: "" });
    const at = `#/login/${app.runner.loginToken}`;
    await using opened = await openApp(browser, app, { key: "", at });
    await opened.page.getByText("Live", { exact: true }).waitFor();
    expect(await opened.page.evaluate("location.href")).toBe(`${app.url}/`);
    expect(opened.problems).toEqual([]);
    await using again = await openApp(browser, app, { key: "", at });
    await again.page.getByText("This login link was used already").waitFor();
  });

  test("opens one stream per session, and closes it with the session", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app);
    const { page } = opened;
    for (let i = 0; i < 3; i++) {
      await page.getByText("Live", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByLabel("API key").fill("test-key");
      await page.getByRole("button", { name: "Open the page" }).click();
    }
    await page.getByText("Live", { exact: true }).waitFor();
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(3) });
    await batchRow(page, "b").waitFor();
    const streams = () =>
      opened.asked.filter((request) => request.startsWith("GET /api/v1/live")).length;
    expect(streams()).toBe(4);
    await until(() => app.runner.liveHub.size() === 1 || undefined);
    expect(opened.problems).toEqual([]);
  });

  test("follows one stream at a time, and opens another one if it falls silent", async () => {
    await using app = await startServer();
    const { opened: isHeld, open: release } = gate();
    let streams = 0;
    await using opened = await openApp(browser, app, {
      prepare: async (page) => {
        await page.clock.install();
        await page.route("**/api/v1/live", async (route) => {
          streams++;
          if (streams === 1) return route.abort();
          if (streams === 2) await isHeld;
          // The page may have given this attempt up.
          await route.continue().catch(() => undefined);
        });
      },
    });
    const { page } = opened;
    await page.getByText("The connection to the server is down.").waitFor();
    await page.clock.runFor(1000);
    await until(() => streams === 2 || undefined);
    // The browser says that the network is back while an attempt has no answer yet.
    await page.evaluate("dispatchEvent(new Event('online')), 0");
    await page.getByText("Live", { exact: true }).waitFor();
    release();
    await until(() => app.runner.liveHub.size() === 1 || undefined);
    await app.post("/batches", { id: "b", tasks: prompts(1) });
    await batchRow(page, "b").waitFor();
    expect([streams, app.runner.liveHub.size()]).toEqual([3, 1]);

    await page.clock.runFor(100_000);
    await until(() => streams > 3 || undefined);
    await app.post("/batches", { id: "c", tasks: prompts(1) });
    await batchRow(page, "c").waitFor();
  });

  test("knows what its key may do although the first answer was an error", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, {
      at: "#/keys",
      prepare: (page) =>
        page.addInitScript(() => {
          const original = globalThis.fetch;
          let asked = 0;
          globalThis.fetch = Object.assign(
            (...given: Parameters<typeof fetch>) =>
              String(given[0]).endsWith("/status") && ++asked === 2
                ? Promise.resolve(new Response("{}", { status: 503 }))
                : original(...given),
            original,
          );
        }),
    });
    await opened.page.getByRole("link", { name: "New key" }).waitFor();
    await opened.page.getByRole("link", { name: "New run" }).waitFor();
  });

  test("ends a session when its key is invalid, but not for a late answer to an earlier key", async () => {
    await using app = await startServer();
    const { key, id } = (await app.post("/api-keys", { name: "short" })).body.data;
    const { promise: isHeld, resolve: hold } = Promise.withResolvers<() => Promise<void>>();
    await using opened = await openApp(browser, app, {
      key,
      prepare: (page) =>
        page.route(
          "**/api/v1/metrics/failures",
          (route) => hold(() => route.fulfill({ status: 401, json: { error: {} } })),
          { times: 1 },
        ),
    });
    const { page } = opened;
    await page.getByText("Live", { exact: true }).waitFor();
    const answerLate = await isHeld;
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("API key").fill("test-key");
    await page.getByRole("button", { name: "Open the page" }).click();
    await page.getByText("Live", { exact: true }).waitFor();
    await answerLate().catch(() => undefined);
    await app.del(`/api-keys/${id}`);
    await app.post("/batches", { id: "b", tasks: prompts(1) });
    await batchRow(page, "b").waitFor();
    await using ending = await openApp(browser, app, {
      key: (await app.post("/api-keys", { name: "next" })).body.data.key,
    });
    await ending.page.getByText("Live", { exact: true }).waitFor();
    const keys = (await app.get("/api-keys")).body.data.keys;
    await app.del(`/api-keys/${keys.find((one: { name: string }) => one.name === "next").id}`);
    await ending.page.getByText("The API key is no longer valid").waitFor();
  });

  test("says when the connection is lost, and when it is back", async () => {
    using folder = temporaryFolder();
    await using first = await startProcess({ DATA_DIR: folder.path });
    const url = first.url ?? "";
    await using opened = await openApp(browser, { url });
    const { page } = opened;
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Files" }).click();
    await page.getByText("No file yet.").waitFor();
    await page.goBack();
    await first.kill();
    await page.getByText("The connection to the server is down.").waitFor();
    expect(await findings(page)).toEqual([]);
    await page.getByRole("link", { name: "Files" }).click();
    await page.getByText("The server cannot be reached").waitFor();
    await using second = await startProcess({ DATA_DIR: folder.path, PORT: new URL(url).port });
    expect(second.url).toBe(url);
    await page.getByText("Connected again; nothing was missed.").waitFor();
    await page.getByText("No file yet.").waitFor();
    await page.goBack();
    await client(url).post("/batches", { id: "b", tasks: prompts(1) });
    await batchRow(page, "b").waitFor();
  });

  test("offers no changes to a key that may only read", async () => {
    await using app = await startServer();
    const { key } = (await app.post("/api-keys", { name: "Reader", scopes: ["read"] })).body.data;
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(2) });
    await using opened = await openApp(browser, app, { key });
    const { page } = opened;
    await batchRow(page, "b").getByText("pending").waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    expect(await page.getByRole("button", { name: /Run|Cancel/ }).count()).toBe(0);
    expect(await page.getByRole("link", { name: /New run|Keys|Audit/ }).count()).toBe(0);
    expect(opened.problems).toEqual([]);
  });

  test("fits into 320 pixels, and into a window at 200 % zoom", async () => {
    await using app = await startServer({ SIMULATOR_LATENCY_MS: "600000" });
    const id = "a-batch-with-a-rather-long-identifier-that-nobody-can-read";
    await app.post("/batches", { id, tasks: [{ prompt: "x" }] });
    await app.post(`/batches/${id}/execute`);
    const subject = "a-provider-of-a-very-long-name-without-any-place-to-break-it";
    await raiseAlert(app.ctx, { code: "provider.quota_exceeded", subject, message: "Top it up" });
    await using opened = await openApp(browser, app, { viewport: { width: 320, height: 640 } });
    const { page } = opened;
    await batchRow(page, id).getByText("running").waitFor();
    for (const hash of [
      "#/",
      "#/batches",
      `#/batches/${id}`,
      "#/new",
      "#/tasks",
      "#/schedules/new",
      "#/webhooks/new",
      "#/keys/new",
      "#/files",
      "#/models",
      "#/audit",
      "#/alerts",
    ]) {
      await page.goto(`${app.url}/${hash}`);
      await page.locator("#main h2").first().waitFor();
      // Wide tables scroll in their own panels.
      const width = await page.evaluate("document.documentElement.scrollWidth");
      expect([hash, Number(width) <= 320]).toEqual([hash, true]);
    }
    // A table of cards has the names of its columns beside the values, and nothing of it is cut off.
    const alerts = page.getByRole("table", { name: "Open alerts" });
    const cards = await alerts.locator("td").evaluateAll((cells) =>
      cells.map((cell) => ({
        name: getComputedStyle(cell, "::before").content,
        isCut: cell.scrollWidth > cell.clientWidth + 1,
      })),
    );
    expect(cards.map(({ name }) => name)).toEqual([
      "none",
      '"What is wrong, and what to do"',
      '"About"',
      '"Raised"',
    ]);
    expect(cards.some(({ isCut }) => isCut)).toBe(false);
    await app.post(`/batches/${id}/cancel`);
  });
});
