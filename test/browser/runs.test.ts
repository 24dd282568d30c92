import { afterAll, describe, expect, test } from "bun:test";

import { launchBrowser } from "../support/browser.ts";
import { findings, openApp } from "../support/page.ts";
import { startServer } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

describe.skipIf(!browser)("the page", () => {
  test("does the whole job: uploads a file, runs it, and shows a task's answer", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app);
    const { page, problems } = opened;
    await page.getByRole("link", { name: "New run" }).click();
    await page.getByLabel("Table (CSV, XLSX, JSONL)").setInputFiles({
      name: "cities.csv",
      mimeType: "text/csv",
      buffer: Buffer.from("city,language\nParis,French\n東京,Japanese\n"),
    });
    await page.getByLabel("Prompt template").fill("Describe {{city}} in {{language}}.");
    expect(await findings(page)).toEqual([]);
    await page.getByRole("button", { name: "Upload and run" }).click();
    await page.getByText("2 rows: 2 done").waitFor();
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      page
        .getByRole("button", { name: /download the results of cities.csv as a workbook/ })
        .click(),
    ]);
    expect(saved.suggestedFilename()).toMatch(/-results\.xlsx$/);
    await page.locator("#results tbody a").nth(1).click();
    await page.getByText("Describe 東京 in Japanese.").first().waitFor();
    await page.getByText("attempt 1: completed").waitFor();
    expect(await findings(page)).toEqual([]);
    await page.goto(`${app.url}/#/tasks`);
    await page.getByLabel("Prompt").fill("Say hello");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("Say hello").first().waitFor();
    await page.getByRole("button", { name: "Edit and re-run" }).click();
    await page.getByRole("dialog").getByLabel("Prompt").fill("Say goodbye");
    await page.getByRole("button", { name: "Save and run" }).click();
    await page.getByText("Say goodbye").first().waitFor();
    expect(problems).toEqual([]);
  });
});
