import { afterAll, describe, expect, test } from "bun:test";

import { clearAlert, raiseAlert } from "../../src/services/alerts.ts";
import { launchBrowser } from "../support/browser.ts";
import { findings, openApp } from "../support/page.ts";
import { startReceiver } from "../support/receiver.ts";
import { client, startServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

const browser = browserPath ? await launchBrowser() : undefined;
const receiver = await startReceiver();
const app = await startServer(receiver.env);
afterAll(async () => {
  await browser?.close();
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

/** Opens the page at an address. At the end it must have logged nothing and called no other server. */
async function openAt(at: string, options: Parameters<typeof openApp>[2] = {}) {
  const opened = await openApp(browser, app, { at, ...options });
  return {
    ...opened,
    /** The violations that axe finds in the current state. */
    check: async () => expect(await findings(opened.page)).toEqual([]),
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]();
      expect(opened.problems).toEqual([]);
    },
  };
}

/** The line that a browser logs when the API refuses a form. */
const forget = (problems: string[]) =>
  expect(problems.splice(0).filter((text) => !text.includes("400 (Bad Request)"))).toEqual([]);

describe.skipIf(!browser)("the page", () => {
  test("creates a schedule while showing its next times, runs it, changes it, and deletes it after a confirmation", async () => {
    await using opened = await openAt("#/schedules");
    const { page, check } = opened;
    await page.getByText("No schedule yet.").waitFor();
    await page.getByRole("link", { name: "New schedule" }).click();
    await page.getByLabel("Name").fill("Morning report");
    await page.getByLabel("Input file").fill("none.csv");
    await page.getByLabel("Time zone").fill("Berlin");
    await page.getByText('"Berlin" is not an IANA time zone').waitFor();
    await page.getByLabel("Time zone").fill("Europe/Berlin");
    await page.getByLabel("Cron expression").fill("30 7 * * MON");
    await page.getByText("At 07:30, only on Monday").waitFor();
    expect(await page.locator(".times li").count()).toBe(5);
    await page.getByLabel("Output file").fill("out-{{when}}.csv");
    await page.getByRole("button", { name: "Create" }).click();
    // The error is beside the field, which has the focus.
    await page.getByText("there is no {{when}}").waitFor();
    expect(await page.evaluate("document.activeElement.getAttribute('aria-invalid')")).toBe("true");
    await check();
    forget(opened.problems);
    await page.getByLabel("Output file").fill("");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("button", { name: "Run now: Morning report" }).click();
    await page.getByText('There is no file "none.csv"').waitFor();
    await check();
    await page.getByRole("link", { name: "Change" }).click();
    await page.getByLabel("How often").selectOption("every hour");
    await page.getByText("Every hour", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "Disable Morning report" }).click();
    await page.getByText("It does not fire.").waitFor();
    await page.getByRole("button", { name: "Delete Morning report" }).click();
    await check();
    // The button that has the focus first does not delete.
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    expect((await app.get("/scheduled-tasks")).body.data.tasks).toMatchObject([
      { name: "Morning report", schedule: "0 * * * *", isActive: false },
    ]);
    await page.getByRole("button", { name: "Delete Morning report" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("No schedule yet.").waitFor();
  });

  test("creates a webhook whose secret is shown once, tests it, and shows and replays its deliveries", async () => {
    await using opened = await openAt("#/webhooks/new");
    const { page, check } = opened;
    await page.getByLabel("Address").fill("http://10.0.0.1/hook");
    await page.getByRole("button", { name: "Create" }).click();
    await page
      .getByText(/is a private address|not public|private/i)
      .first()
      .waitFor();
    forget(opened.problems);
    await page.getByLabel("Address").fill(receiver.url);
    await page.getByRole("checkbox", { name: /^task\.completed/ }).check();
    await check();
    await page.getByRole("button", { name: "Create" }).click();
    const secret = page.getByRole("dialog").getByLabel("Secret");
    expect(await secret.inputValue()).toMatch(/^whsec_/);
    await check();
    // The dialog is not closed by accident.
    await page.keyboard.press("Escape");
    await page.getByText("It has not been copied yet.").waitFor();
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied.").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.getByText("It answered 204").waitFor();
    await app.post("/tasks?execute=true", { id: "reported", prompt: "x" });
    await page.getByRole("link", { name: "task.completed" }).click();
    const drawer = page.getByRole("dialog");
    await drawer.getByText('"taskId": "reported"').waitFor();
    await check();
    const sent = receiver.received.length;
    await drawer.getByRole("button", { name: /^Replay/ }).click();
    await until(() => receiver.received.length > sent || undefined);
    // The address of a delivery works although the page of the list has others.
    await page.goto(page.url().replace("?", "?status=failed&"));
    await page.getByText("No delivery matches.").waitFor();
    await drawer.getByText('"taskId": "reported"').waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Replay since…" }).click();
    await drawer.getByLabel(/^Only deliveries/).uncheck();
    // A press outside keeps what was typed into a form.
    await page.mouse.click(5, 400);
    await drawer.getByRole("button", { name: "Send again" }).click();
    await page.getByText(/deliver(y is|ies are) sent again/).waitFor();
    await page.getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("heading", { name: "The new secret" }).waitFor();
    // A browser that refuses to copy must not look as if it had.
    await page.evaluate(`{
      navigator.clipboard.writeText = () => Promise.reject(new Error());
      document.execCommand = () => false;
    }`);
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("The browser does not copy it").waitFor();
    await page.evaluate("document.execCommand = () => true, 0");
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied.").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: /^Disable/ }).click();
    await page.getByText("disabled", { exact: true }).waitFor();
    await check();
    await page.getByRole("button", { name: /^Delete/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("No webhook yet.").waitFor();
  });

  test("creates a key that is shown once, removes a scope, and revokes it", async () => {
    await using opened = await openAt("#/keys");
    const { page, check } = opened;
    // Whatever happens to the key, another viewer sees it without a reload.
    await using other = await openAt("#/keys?revoked=true");
    const seen = other.page.getByRole("row", { name: /Nightly import/ });
    await other.page.getByText("admin").first().waitFor();
    await page.getByRole("link", { name: "New key" }).click();
    await page.getByLabel("Name").fill("Nightly import");
    await page.getByLabel("Monthly budget (USD)").fill("20");
    await page.getByRole("button", { name: "Create" }).click();
    const key = await page.getByRole("dialog").getByLabel("API key").inputValue();
    expect((await client(app.url, key).get("/status")).status).toBe(200);
    await seen.getByText("read, write", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("meter", { name: "Budget of Nightly import" }).waitFor();
    await check();
    await page.getByRole("link", { name: "Change" }).click();
    await page.getByRole("checkbox", { name: /^write/ }).uncheck();
    await page.getByRole("checkbox", { name: /^read/ }).uncheck();
    await page.getByRole("button", { name: "Save" }).click();
    await page.locator("fieldset .error").waitFor();
    await check();
    forget(opened.problems);
    await page.getByRole("checkbox", { name: /^read/ }).check();
    await page.getByLabel("Requests a minute").fill("600");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("600 a minute").waitFor();
    await seen.getByText("read", { exact: true }).waitFor();
    expect((await client(app.url, key).post("/tasks", { prompt: "x" })).status).toBe(403);
    await page.getByRole("table", { name: "Usage" }).getByText("This month (UTC)").waitFor();
    await page.getByRole("button", { name: "Rotate Nightly import" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    await page.getByRole("heading", { name: "The new secret of Nightly import" }).waitFor();
    const rotated = await page.getByRole("dialog").getByLabel("API key").inputValue();
    expect((await client(app.url, rotated).get("/status")).status).toBe(200);
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Revoke Nightly import" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByLabel("Include revoked keys").check();
    await page.getByText("revoked", { exact: true }).waitFor();
    await seen.getByText("revoked", { exact: true }).waitFor();
    await check();
    expect((await client(app.url, key).get("/status")).status).toBe(401);
  });

  test("names the missing scope if a key may not see a page, and hides the links to that page", async () => {
    const { key } = (await app.post("/api-keys", { name: "Reader", scopes: ["read"] })).body.data;
    await using opened = await openAt("#/keys", { key });
    const { page, check } = opened;
    await page.getByText("This needs an API key with the scope admin. Yours has read.").waitFor();
    await check();
    expect(await page.getByRole("link", { name: /^(Keys|Audit)$/ }).count()).toBe(0);
    await page.goto(`${app.url}/#/schedules/new`);
    await page.getByText("This needs an API key with the scope write. Yours has read.").waitFor();
    await page.goto(`${app.url}/#/webhooks`);
    await page.getByText("No webhook yet.").waitFor();
    expect(await page.getByRole("link", { name: "New webhook" }).count()).toBe(0);
  });

  test("uploads, downloads and deletes files, and shows models, prices and providers", async () => {
    await using opened = await openAt("#/files");
    const { page, check } = opened;
    await page.getByText("No file yet.").waitFor();
    // Another viewer sees the files come and go.
    await using other = await openAt("#/files");
    await other.page.getByText("No file yet.").waitFor();
    const [name, text] = ["cities 東京.csv", "city\nParis\n"];
    await page
      .getByLabel("Upload")
      .setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) });
    await page.getByText(`${name} is uploaded`).waitFor();
    await other.page.getByText(name, { exact: true }).waitFor();
    await check();
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: `Download ${name}` }).click(),
    ]);
    expect(await Bun.file(await saved.path()).text()).toBe(text);
    await page.getByRole("button", { name: `Prepare a run of ${name}` }).click();
    await page.getByText("1 row · 1 column · CSV").waitFor();
    await page.getByRole("link", { name: "Files" }).click();
    // A file that is refused does not keep back the next one.
    const json = { error: { code: "FILE_TOO_LARGE", message: "It is too large" } };
    await page.route("**/api/v1/files", (route) => route.fulfill({ status: 413, json }), {
      times: 1,
    });
    const files = ["large.csv", "next.csv"].map((one) => ({
      name: one,
      mimeType: "text/csv",
      buffer: Buffer.from(text),
    }));
    await page.getByLabel("Upload").setInputFiles(files);
    await page.getByText("large.csv: It is too large").waitFor();
    await page.getByRole("button", { name: "Download next.csv" }).waitFor();
    opened.problems.splice(0);
    await page.getByRole("button", { name: `Delete ${name}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText(`${name} is deleted`).waitFor();
    await other.page.getByText(name, { exact: true }).waitFor({ state: "detached" });
    await other.page.getByText("next.csv", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Models" }).click();
    await page.getByText(/^built-in prices of \d{4}-/).waitFor();
    await page.getByRole("table", { name: "Models" }).getByText("gpt-4o-mini").first().waitFor();
    await page.getByText("answers", { exact: true }).waitFor();
    await page.getByLabel("Name contains").fill("no such model");
    await page.getByText("No model matches.").waitFor();
    await check();
  });

  test("shows the audit log with filters and pages, each at an address of its own", async () => {
    for (let i = 0; i < 60; i++) await app.post("/tasks", { id: `t${i}`, prompt: "x" });
    await until(
      async () => (await app.get("/audit?target=t59")).body.data.entries.length || undefined,
    );
    await using opened = await openAt("#/audit?action=tasks.create");
    const { page, check } = opened;
    await page.getByRole("link", { name: "t59" }).waitFor();
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByText(/^page 2 of 2/).waitFor();
    await page.reload();
    await page.getByText(/^page 2 of 2/).waitFor();
    await check();
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export the entries of these times as CSV" }).click(),
    ]);
    expect(await Bun.file(await saved.path()).text()).toContain("tasks.create");
    await page.getByRole("button", { name: "Earlier" }).click();
    // An entry of somebody else comes without a reload.
    await page.getByRole("link", { name: "t59" }).waitFor();
    await app.post("/tasks", { id: "later", prompt: "x" });
    await page.getByRole("link", { name: "later" }).waitFor();
    await page.getByRole("link", { name: "t59" }).click();
    await page.getByRole("link", { name: "t58" }).waitFor({ state: "detached" });
    expect(await page.getByLabel("Target").inputValue()).toBe("t59");
    await page.getByLabel("Target").fill("nothing");
    await page.getByText("No entry matches.").waitFor();
    await check();
  });

  test("shows alerts as they are raised and cleared, with their history", async () => {
    await using opened = await openAt("#/alerts");
    const { page, check } = opened;
    await page.getByText("All clear.").waitFor();
    await page.getByText("No alerts yet").waitFor();
    await raiseAlert(app.ctx, { code: "disk.nearly_full", message: "The disk is 96 % full" });
    const open = page.getByRole("table", { name: "Open alerts" });
    await open.getByText("The disk is 96 % full").waitFor();
    await check();
    await clearAlert(app.ctx, "disk.nearly_full");
    await page.getByText("cleared", { exact: true }).waitFor();
    await page.getByText("All clear.").waitFor();
  });
});
