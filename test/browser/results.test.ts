import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { readTable } from "../../src/lib/tables/read-table.ts";
import { launchBrowser } from "../support/browser.ts";
import { findings, openApp } from "../support/page.ts";
import { fail, startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

const CITIES = ["Paris", "東京", "Atlantis", "القاهرة", "🏝️ Island"];
const LONG = "a long text ".repeat(200);

describe.skipIf(!browser)("the rows of a batch", () => {
  let app: TestServer;
  let provider: Awaited<ReturnType<typeof startProvider>>;
  let isThere = false;
  const answered = Promise.withResolvers<void>();

  beforeAll(async () => {
    provider = await startProvider(({ prompt }, response) => {
      if (prompt.includes("Atlantis") && !isThere) return fail(response, 400);
      return prompt === "Take your time" ? answered.promise : undefined;
    });
    app = await startServer(provider.env);
    const rows = Array.from(
      { length: 1000 },
      (_, i) => `${i + 1},${CITIES[i % 5]},${i === 0 ? LONG : "short"}`,
    );
    await Bun.write(`${app.filesDir}/cities.csv`, `nr,city,notes\n${rows.join("\n")}\n`);
    for (const [id, promptTemplate] of Object.entries({
      one: "Describe {{city}}, {{nr}}",
      two: "Praise {{city}}, {{nr}}",
    })) {
      const config = { promptTemplate };
      await app.post("/batches", { id, name: `Cities ${id}`, inputFile: "cities.csv", config });
      await app.post(`/batches/${id}/execute`);
      await app.finished(id);
    }
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await provider[Symbol.asyncDispose]();
  });

  test("are a table that renders only visible rows and can be used with the keyboard", async () => {
    await using opened = await openApp(browser, app, { at: "#/batches/one" });
    const { page, problems } = opened;
    const grid = page.getByRole("grid", { name: "Rows" });
    await grid.getByText("Paris").first().waitFor();
    expect(await grid.getAttribute("aria-rowcount")).toBe("1001");
    expect(await grid.locator("tbody tr").count()).toBeLessThan(40);
    await grid.locator('tr[data-index="0"]').focus();
    await page.keyboard.press("End");
    await grid.locator('tr[data-index="999"]').getByText("1000", { exact: true }).waitFor();
    // Faster than the page renders.
    await Promise.all(["PageUp", "Home", "ArrowDown", " "].map((key) => page.keyboard.press(key)));
    await page.getByText("1 selected").waitFor();
    await page.keyboard.press("Enter");
    const drawer = page.getByRole("dialog");
    await drawer.getByText("Describe 東京, 2").first().waitFor();
    await drawer.getByText("attempt 1: completed").waitFor();
    expect(page.url()).toContain("task=one-2");
    expect(await findings(page)).toEqual([]);
    await drawer.getByRole("button", { name: "Next" }).click();
    await drawer.getByText("Error", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" });
    expect(await findings(page)).toEqual([]);
    // The code of an error is shown whole.
    const error = grid.locator(".answer.error").first();
    const cut = (cell: Element) => {
      const code = document.createRange();
      code.setStart(cell.firstChild ?? cell, 0);
      code.setEnd(cell.firstChild ?? cell, "PROVIDER_REJECTED_REQUEST".length);
      return code.getBoundingClientRect().right > cell.getBoundingClientRect().right;
    };
    expect([await error.textContent(), await error.evaluate(cut)]).toEqual([
      expect.stringContaining("PROVIDER_REJECTED_REQUEST"),
      false,
    ]);
    // After scrolling, keys apply to the row that has the focus then.
    await page.locator(".grid-box").evaluate((box) => (box.scrollTop = 33 * 300));
    await grid.locator('tr[data-index="300"] .badge').waitFor();
    await page.keyboard.press("ArrowDown");
    const focused = await page.evaluate("Number(document.activeElement.dataset.index)");
    expect(focused).toBeGreaterThan(300);
    await page.keyboard.press("Enter");
    await drawer
      .getByText(`Describe ${CITIES[Number(focused) % 5]}, ${Number(focused) + 1}`)
      .first()
      .waitFor();
    await page.keyboard.press("Escape");
    expect(problems).toEqual([]);
  });

  test("are filtered by status and text, with the filter in the address, and downloaded with the same filter", async () => {
    await using opened = await openApp(browser, app, { at: "#/batches/one?status=completed" });
    const { page, problems } = opened;
    await page.getByText(/rows match/).waitFor();
    await page.getByLabel("Contains").fill("القاهرة");
    await page.waitForURL(/q=/);
    await page.getByText("100 or more rows match").waitFor();
    expect(decodeURIComponent(page.url())).toContain("q=القاهرة");
    const [csv] = await Promise.all([
      page.waitForEvent("download"),
      page
        .getByRole("button", {
          name: "CSV: download the results of Cities one as CSV",
          exact: true,
        })
        .click(),
    ]);
    const bytes = await Bun.file(await csv.path()).bytes();
    expect(bytes.slice(0, 3)).toEqual(new Uint8Array([0xef, 0xbb, 0xbf]));
    expect(new TextDecoder().decode(bytes).trim().split("\n")).toHaveLength(201);
    const [jsonl] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: /^JSONL/ }).click(),
    ]);
    const lines = (await Bun.file(await jsonl.path()).text()).trim().split("\n");
    expect([lines.length, lines.every((line) => line.includes("القاهرة"))]).toEqual([200, true]);
    const [xlsx] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: /^Excel/ }).click(),
    ]);
    const sheet = await rowsOf(await xlsx.path());
    expect([sheet.length, sheet.every((cells) => cells.includes("القاهرة"))]).toEqual([200, true]);
    await page.reload();
    await page.getByText("100 or more rows match").waitFor();
    await page.locator('tr[data-index="0"]').focus();
    await page.keyboard.press("End");
    await page.getByText("200 or more rows match").waitFor();
    await page.keyboard.press("End");
    await page.getByText("200 rows match").waitFor();
    expect(await page.getByLabel("Contains").inputValue()).toBe("القاهرة");
    await page.getByLabel("Contains").fill("nothing has this");
    await page.getByText("No row matches.").waitFor();
    expect(problems).toEqual([]);
  });

  test("are found by the name of their batch, at an address to which going back returns", async () => {
    await using opened = await openApp(browser, app, { at: "#/batches" });
    const { page, problems } = opened;
    await page.getByLabel("Name contains").fill("ties TWO");
    await page
      .getByRole("link", { name: "Cities one", exact: true })
      .waitFor({ state: "detached" });
    expect(await page.title()).toBe("Batches · GPT Task Runner");
    await page.getByRole("link", { name: "Cities two", exact: true }).click();
    await page.locator('tr[data-index="1"]').click();
    await page.getByRole("dialog").waitFor();
    // Escape, pressed twice before the browser has gone back, closes the row and does not leave the batch.
    await page.getByRole("dialog").evaluate((dialog) => {
      for (let i = 0; i < 2; i++) dialog.dispatchEvent(new Event("cancel", { cancelable: true }));
    });
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(page.url()).toEndWith("#/batches/two");
    await page.locator('tr[data-index="1"]').click();
    await page.getByRole("dialog").waitFor();
    await page.reload();
    await page.getByRole("dialog").getByText("Praise 東京, 2").first().waitFor();
    await page.goBack();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.goBack();
    await page.getByRole("link", { name: "Cities two", exact: true }).waitFor();
    expect(await page.getByLabel("Name contains").inputValue()).toBe("ties TWO");
    expect(problems).toEqual([]);
  });

  test("are compared with those of another batch", async () => {
    await using opened = await openApp(browser, app, { at: "#/compare?left=one" });
    const { page, problems } = opened;
    await page.getByLabel("Right").selectOption("two");
    const table = page.getByRole("table", { name: "Comparison" });
    await table.getByText("Paris").first().waitFor();
    await page.getByText("These are the first 100").waitFor();
    expect(await findings(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("can be retried: the selected ones, and all that match", async () => {
    isThere = true;
    await using opened = await openApp(browser, app, { at: "#/batches/two?status=failed" });
    const { page, problems } = opened;
    const grid = page.getByRole("grid", { name: "Rows" });
    await grid.getByText("Atlantis").first().waitFor();
    for (const row of [3, 8]) await page.getByLabel(`Select row ${row}`, { exact: true }).check();
    await page.getByRole("button", { name: "Retry 2 rows" }).click();
    await until(
      async () => (await app.get("/batches/two")).body.data.progress.failed === 198 || undefined,
    );
    await page.getByRole("button", { name: "Retry all that match" }).click();
    await page.getByRole("button", { name: "Really, all of them?" }).click();
    await until(
      async () => (await app.get("/batches/two")).body.data.progress.failed === 0 || undefined,
    );
    // The filtered rows are updated.
    await page.getByText("No row matches.").waitFor();
    await page.goto(`${app.url}/#/batches/two?task=two-1`);
    await page.getByRole("button", { name: "Edit and re-run" }).click();
    await page.getByLabel("Prompt").fill("Scold Paris");
    await page.getByRole("button", { name: "Save and run" }).click();
    await grid.getByText("re: Scold Paris").waitFor();
    expect(problems).toEqual([]);
  });

  test("show the latest answer, even if it comes while older rows are loaded", async () => {
    await using opened = await openApp(browser, app, { at: "#/batches/two" });
    const { page, problems } = opened;
    const grid = page.getByRole("grid", { name: "Rows" });
    await grid.getByText("Praise Paris, 6").waitFor();
    const loaded = Promise.withResolvers<void>();
    const older = Promise.withResolvers<void>();
    await page.route(/\/rows\?/, async (route) => {
      const response = await route.fetch();
      loaded.resolve();
      await older.promise;
      await route.fulfill({ response });
    });
    await app.patch("/tasks/two-6", { prompt: "Take your time" });
    await app.post("/tasks/two-6/execute");
    await loaded.promise;
    answered.resolve();
    await app.ended("two-6");
    // The page requests changed rows at most once a second.
    await Bun.sleep(1500);
    older.resolve();
    await grid.getByText("re: Take your time").waitFor();
    await page.unrouteAll({ behavior: "wait" });

    await grid.locator('tr[data-index="5"]').click();
    const drawer = page.getByRole("dialog");
    for (const prompt of ["Scold Rome", "Scold Oslo"]) {
      await app.patch("/tasks/two-6", { prompt });
      await app.post("/tasks/two-6/execute");
      for (const place of [grid, drawer]) await place.getByText(`re: ${prompt}`).waitFor();
    }
    expect(problems).toEqual([]);
  });
});

/** The rows of a workbook below its header. */
async function rowsOf(path: string) {
  const rows = await Array.fromAsync(readTable({ path, format: "xlsx", options: {} })(() => {}));
  return rows.flat().filter((cells) => !cells.includes("city"));
}
