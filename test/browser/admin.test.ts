import { afterAll, describe, expect, test } from "bun:test";

import { launchBrowser } from "../support/browser.ts";
import { findings, keep, openApp } from "../support/page.ts";
import { startReceiver } from "../support/receiver.ts";
import { startServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

describe.skipIf(!browser)("what people administer", () => {
  test("schedules: made with a sentence, run now, paused, with their history", async () => {
    await using app = await startServer();
    await Bun.write(`${app.filesDir}/cities.csv`, "prompt\nDescribe Paris\n");
    await using opened = await openApp(browser, app, { at: "#/schedules" });
    const { page, problems } = opened;
    await page.getByText("No schedule yet.").waitFor();
    await page.getByRole("button", { name: "New schedule" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Nightly");
    await dialog.getByLabel("Runs").selectOption("cron");
    await dialog.getByLabel("Cron expression").fill("61 9 * * *");
    expect(await dialog.getByRole("button", { name: "Create the schedule" }).isDisabled()).toBe(
      true,
    );
    await dialog.getByLabel("Cron expression").fill("30 3 1 * *");
    await dialog.getByText("On day 1 of every month at 03:30").waitFor();
    await dialog.getByLabel("Input file").fill("cities.csv");
    await dialog.getByRole("button", { name: "Create the schedule" }).click();
    await page.getByRole("button", { name: "Run now: Nightly" }).click();
    await page.locator("#runs").getByText("completed").waitFor();
    await page.locator("#runs").getByText("manual").waitFor();
    expect(await findings(page)).toEqual([]);
    await keep(page, "schedule");
    await page.getByRole("button", { name: "Pause Nightly" }).click();
    await page.getByRole("button", { name: "Resume Nightly" }).waitFor();
    await page.getByRole("link", { name: "Schedules" }).click();
    await page.locator("#schedules").getByText("paused").waitFor();
    expect(await findings(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("webhooks: made, tested, their deliveries sent again, their secret rotated", async () => {
    await using receiver = await startReceiver((_, response) => response.writeHead(204).end());
    await using app = await startServer(receiver.env);
    await using opened = await openApp(browser, app, { at: "#/webhooks" });
    const { page, problems } = opened;
    await page.getByText("No webhook yet.").waitFor();
    await page.getByRole("button", { name: "New webhook" }).click();
    await page.getByLabel("Address").fill(receiver.url);
    await page.getByRole("button", { name: "Create the webhook" }).click();
    await page.getByText(/whsec_/).waitFor();
    await page.getByRole("button", { name: "I have kept it" }).click();
    await page.getByRole("link", { name: receiver.url }).click();
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.locator("#deliveries .badge").getByText("delivered").first().waitFor();
    await page
      .getByRole("button", { name: /Replay webhook/ })
      .first()
      .click();
    await page.getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("button", { name: "Really a new secret?" }).click();
    await page
      .getByRole("dialog")
      .getByText(/whsec_/)
      .waitFor();
    await page.getByRole("button", { name: "I have kept it" }).click();
    expect(await findings(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("keys, files, models and the audit log", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, { at: "#/keys" });
    const { page, problems } = opened;
    await page.getByRole("button", { name: "New key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Import");
    await dialog.getByLabel("May").selectOption("read");
    await dialog.getByLabel("Budget a month, in USD").fill("20");
    await dialog.getByRole("button", { name: "Create the key" }).click();
    await dialog.getByText(/^gtr_/).waitFor();
    await dialog.getByRole("button", { name: "I have kept it" }).click();
    await page.getByText("$20.00").waitFor();
    expect(await findings(page)).toEqual([]);
    await keep(page, "keys");
    await page.getByRole("button", { name: "Revoke Import" }).click();
    await page.getByRole("button", { name: "Really? Revoke Import" }).click();
    await until(
      async () => (await app.get("/api-keys")).body.data.pagination.total === 1 || undefined,
    );
    await page.getByRole("link", { name: "Files" }).click();
    await page.getByLabel("File to upload").setInputFiles({
      name: "cities.csv",
      mimeType: "text/csv",
      buffer: Buffer.from("city\nParis\n"),
    });
    await page.locator("#files").getByText("cities.csv").waitFor();
    expect(await findings(page)).toEqual([]);
    await page.getByRole("button", { name: "Prepare a run of cities.csv" }).click();
    await page.getByText("1 rows · 1 columns · CSV").waitFor();
    await page.getByRole("link", { name: "Models" }).click();
    await page.locator("#models").getByText("gpt-4o-mini").first().waitFor();
    expect(await findings(page)).toEqual([]);
    await page.getByRole("link", { name: "Audit" }).click();
    await page.getByLabel("Action").fill("api-keys.create");
    await page.locator("#audit td").getByText("api-keys.create").waitFor();
    expect(await findings(page)).toEqual([]);
    expect(problems).toEqual([]);
  });
});
