import { afterAll, describe, expect, test } from "bun:test";

import { launchBrowser } from "../support/browser.ts";
import { findings, openApp } from "../support/page.ts";
import { startServer } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

describe.skipIf(!browser)("a task", () => {
  test("is written, run, changed and run again", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, { at: "#/tasks" });
    const { page, problems } = opened;
    await page.getByLabel("Prompt").fill("Say hello");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("Say hello").first().waitFor();
    await page.getByRole("button", { name: "Edit and re-run" }).click();
    await page.getByRole("dialog").getByLabel("Prompt").fill("Say goodbye");
    await page.getByRole("button", { name: "Save and run" }).click();
    await page.getByText("Say goodbye").first().waitFor();
    await page.getByText("attempt 1: completed").nth(1).waitFor();
    await page.getByRole("button", { name: "Execute again" }).click();
    await page.getByText("attempt 1: completed").nth(2).waitFor();
    expect(await findings(page)).toEqual([]);
    expect(problems).toEqual([]);
  });
});
