import { afterAll, describe, expect, test } from "bun:test";

import { launchBrowser } from "../support/browser.ts";
import { findings, openApp } from "../support/page.ts";
import { gate } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";
import { row, workbookOf } from "../support/workbook.ts";

const browser = browserPath ? await launchBrowser() : undefined;
afterAll(() => browser?.close());

describe.skipIf(!browser)("the workbench", () => {
  test("leads from an Excel file to an Excel file in at most 25 actions, from the login link on", async () => {
    await using app = await startServer({ API_KEYS: "" });
    let actions = 0;
    const act = async (action: Promise<unknown>) => {
      actions++;
      await action;
    };
    // 1: open the link that the first start printed.
    actions++;
    await using opened = await openApp(browser, app, {
      key: "",
      at: `#/login/${app.runner.loginToken}`,
    });
    const { page, problems } = opened;
    const button = (name: string) => page.getByRole("button", { name, exact: true });
    await act(page.getByRole("link", { name: "New run" }).click());
    await act(
      page.getByLabel("Table file").setInputFiles({
        name: "reviews.xlsx",
        mimeType: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        buffer: await workbook(),
      }),
    );
    await page.getByText("40 rows · 3 columns · XLSX · sheet").waitFor();
    await act(page.getByLabel("Prompt of each row").fill("What does this customer feel? "));
    await act(button("review").click());
    await page.getByText("What does this customer feel? I like number 1").waitFor();
    await page.getByText(/\d+ tokens for/).waitFor();
    await act(page.getByLabel("Each answer is").selectOption("columns"));
    await act(page.getByLabel("Column 1", { exact: true }).fill("sentiment"));
    await act(page.getByLabel("Column 2", { exact: true }).fill("reason"));
    await page
      .locator(".estimate")
      .getByText(/40 rows · .* · about/)
      .waitFor();
    await act(button("Try 5 rows").click());
    await page
      .getByRole("table", { name: "First rows" })
      .getByRole("columnheader", { name: "sentiment" })
      .waitFor();
    await page.locator(".estimate").getByText("by the 5 rows tried").waitFor();
    expect(await findings(page)).toEqual([]);
    await act(page.getByLabel("Costs at most, in USD").fill("5"));
    await act(button("Run all").click());
    await page.getByText("40 rows: 40 done").waitFor();
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      act(page.getByRole("button", { name: /as a workbook/ }).click()),
    ]);
    expect(saved.suggestedFilename()).toMatch(/\.xlsx$/);
    expect(actions).toBeLessThanOrEqual(25);
    const { batches } = (await authorized(app).then((one) => one.get("/batches"))).body.data;
    expect(batches).toHaveLength(1);
    expect(batches[0]).toMatchObject({ name: "reviews.xlsx", config: { maxCostUsd: 5 } });
    expect(problems).toEqual([]);
  });

  test("keeps the draft on reload, accepts pasted cells, and shows errors in the prompt", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, { at: "#/new" });
    const { page, problems } = opened;
    await page.getByText("paste cells that you have copied").waitFor();
    expect(await findings(page)).toEqual([]);
    await page.evaluate(`{
      const data = new DataTransfer();
      data.setData("text/plain", "city\\tnotes\\nParis\\tمرحبا 🌍\\nOslo\\tcold\\n");
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }`);
    await page.getByText("2 rows · 2 columns · CSV · separated by tabs").waitFor();
    await page.getByLabel("Prompt of each row").fill("Describe {{town}}");
    await page.locator(".estimate").getByText("No estimate yet").waitFor();
    await page.locator(".error").getByText(/town/).waitFor();
    // An error of an earlier prompt is not shown while the new one is checked.
    const { opened: isHeld, open: release } = gate();
    await page.route(
      "**/batches/preview",
      async (route) => {
        await isHeld;
        await route.continue();
      },
      { times: 1 },
    );
    await page.getByLabel("Prompt of each row").fill("Describe {{city}}: {{notes}}");
    await page.getByText("Checking…").waitFor();
    expect(await page.locator(".error").count()).toBe(0);
    release();
    await page.getByText("Describe Paris: مرحبا 🌍").waitFor();
    await page.getByRole("button", { name: "Next row" }).click();
    await page.getByText("Describe Oslo: cold").waitFor();
    await page.reload();
    await page.getByText("Describe Oslo: cold").waitFor();
    await page.getByRole("button", { name: "Copy as…" }).click();
    const dialog = page.getByRole("dialog");
    for (const language of ["curl", "typescript", "python", "cli"]) {
      await dialog.getByLabel("Language").selectOption(language);
      await dialog.getByText("Describe {{city}}: {{notes}}").waitFor();
    }
    expect(await findings(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Save as schedule" }).click();
    await dialog.getByText("At 09:00, Monday through Friday").waitFor();
    expect(await dialog.locator(".times li").count()).toBe(5);
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Create the schedule" }).click();
    await page.getByRole("heading", { name: "Next times" }).waitFor();
    const { tasks } = (await app.get("/scheduled-tasks")).body.data;
    expect(tasks[0]).toMatchObject({
      schedule: "0 9 * * MON-FRI",
      config: { promptTemplate: "Describe {{city}}: {{notes}}" },
    });
    expect(problems).toEqual([]);
    await until(
      async () => (await app.get("/files")).body.data.pagination.total === 1 || undefined,
    );
  });

  test("can be used by the keyboard alone, with a title and a place for the focus on each page", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, { key: "" });
    const { page, problems } = opened;
    const { keyboard } = page;
    const tabTo = async (name: RegExp, key = "Tab") => {
      for (let i = 0; i < 80; i++) {
        await keyboard.press(key);
        if (name.test(String(await page.evaluate(FOCUSED)))) return;
      }
      throw new Error(`${key} leads to no ${name}`);
    };
    await page.getByLabel("API key").waitFor();
    await tabTo(/^API key/);
    await keyboard.type("test-key");
    await keyboard.press("Enter");
    await page.getByText("Live", { exact: true }).waitFor();
    await tabTo(/^New run/);
    await keyboard.press("Enter");
    await page.getByText("paste cells that you have copied").waitFor();
    expect(await page.title()).toBe("New run · GPT Task Runner");
    // Begun early, because the browser must know that the test answers before the key is pressed.
    const chooser = page.waitForEvent("filechooser");
    await tabTo(/^Choose a table/);
    await keyboard.press("Enter");
    await (
      await chooser
    ).setFiles({
      name: "reviews.xlsx",
      mimeType: "application/octet-stream",
      buffer: await workbook(),
    });
    await page.getByText("40 rows · 3 columns · XLSX").waitFor();
    await tabTo(/^Prompt of each row/);
    await keyboard.type("Sum up: ");
    await tabTo(/^review$/, "Shift+Tab");
    await keyboard.press("Enter");
    await page.getByText("Sum up: I like number 1").waitFor();
    await tabTo(/^Each answer is/);
    await keyboard.press("ArrowDown");
    await tabTo(/^Column 1/);
    await keyboard.type("sum");
    await page.locator(".estimate").getByText("40 rows").waitFor();
    await tabTo(/^Run all/);
    await keyboard.press("Enter");
    await page.getByText("40 rows: 40 done").waitFor();
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    await tabTo(/^row 1$/);
    await keyboard.press("ArrowDown");
    await keyboard.press("Enter");
    await page.getByRole("dialog").getByText("Sum up: I like number 2").first().waitFor();
    await keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await until(async () => (await page.evaluate(FOCUSED)) === "row 2" || undefined);
    await tabTo(/^Excel: download/, "Shift+Tab");
    const [saved] = await Promise.all([page.waitForEvent("download"), keyboard.press("Enter")]);
    expect(saved.suggestedFilename()).toMatch(/\.xlsx$/);
    expect(problems).toEqual([]);
    // Some hundred keys, each of which the browser answers.
  }, 120_000);

  test("accepts a dropped file, and shows texts of any script and length unchanged", async () => {
    await using app = await startServer();
    await using opened = await openApp(browser, app, {
      at: "#/new",
      locale: "de",
      reducedMotion: "reduce",
    });
    const { page, problems } = opened;
    const choose = (name: string, text: string) =>
      page
        .getByLabel("Table file")
        .setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) });
    await choose("empty.csv", "");
    await page.getByText("empty.csv is empty", { exact: true }).waitFor();
    expect(await page.getByText("Loading…").count()).toBe(0);
    // Chromium logs the refusal.
    expect(problems.splice(0).join()).toContain("400");
    await choose("head.csv", "a,b\n");
    await page.getByText("The table has no rows.").waitFor();
    await choose("renamed.xlsx", "city\nRome\n");
    await page.getByText("renamed.xlsx is not a workbook, as its name says, but CSV").waitFor();
    await choose("lines.jsonl", '{"a": 1}\n{"a": 2}\n');
    await page.getByText("2 rows · 1 column · JSONL").waitFor();
    await page.getByText("simulator: $0.15 in, $0.60 out per million tokens").waitFor();
    // The table stays while the schema of the answers is incomplete.
    await page.getByLabel("Each answer is").selectOption("schema");
    await page.getByLabel("JSON Schema of an object").fill('{"type":');
    await page.reload();
    await page.getByText("2 rows · 1 column · JSONL").waitFor();
    await page.locator(".run-bar").getByText("is not valid JSON").waitFor();
    await page.getByLabel("Each answer is").selectOption("text");
    // The last choice stays, even if an earlier file arrives after it.
    const held = gate();
    await page.route(
      "**/api/v1/files",
      async (route) => {
        await held.opened;
        await route.continue().catch(() => undefined);
      },
      { times: 1 },
    );
    await choose("earlier.csv", "a\n1\n");
    await page.getByText("Uploading earlier.csv…").waitFor();
    await choose("later.csv", "a\n1\n2\n");
    await page.getByText("later.csv", { exact: true }).waitFor();
    held.open();
    await page.getByText("2 rows · 1 column").waitFor();
    await page.unrouteAll({ behavior: "wait" });
    expect(await page.locator(".drop strong").textContent()).toBe("later.csv");
    // A wide table, and a long name, leave the prompt in its place.
    const wide = Array.from({ length: 200 }, (_, i) => `column ${i}`).join();
    await choose(`${"n".repeat(150)}.csv`, `${wide}\n${wide}\n`);
    await page.getByText("1 row · 200 columns").waitFor();
    await page.getByText("Write a prompt first.").waitFor();
    expect(await page.locator(".chips").evaluate((one) => one.clientHeight)).toBeLessThan(200);
    expect(await page.locator(".drop").evaluate((one) => one.scrollWidth - one.clientWidth)).toBe(
      0,
    );
    expect(await findings(page)).toEqual([]);
    const long = "Donaudampfschifffahrtsgesellschaft".repeat(40);
    await page.locator(".drop").waitFor();
    await page.evaluate(
      ([name, text]) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([text], name));
        const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
        document.querySelector(".drop")?.dispatchEvent(drop);
      },
      ["مدن 🌍.csv", `city,notes\nالقاهرة,${long}\n🏝️ Ísland,"two\nlines"\n`] as const,
    );
    await page.getByText("2 rows · 2 columns · CSV").waitFor();
    await page.getByLabel("Prompt of each row").fill("صف {{city}}: {{notes}}");
    const composed = page.locator("pre", { hasText: "صف القاهرة" });
    await composed.waitFor();
    expect(await composed.evaluate((one) => getComputedStyle(one).direction)).toBe("rtl");
    await page
      .locator(".estimate")
      .getByText(/2 rows · /)
      .waitFor();
    const mood = {
      type: "object",
      properties: { mood: { type: "string", enum: ["good", "bad"] } },
      required: ["mood"],
    };
    await page.getByLabel("Each answer is").selectOption("schema");
    await page.getByLabel("JSON Schema of an object").fill(JSON.stringify(mood, null, 2));
    await page.getByText("Checking…").waitFor({ state: "detached" });
    // Two presses at once start one run, and its batch is created once.
    await page.locator(".run-bar").evaluate((bar) => {
      const press = (name: string) =>
        [...bar.querySelectorAll("button")].find((one) => one.textContent === name)?.click();
      press("Run all");
      press("Try 5 rows");
    });
    await page.getByText("2 rows: 2 done").waitFor();
    const { batches } = (await app.get("/batches")).body.data;
    expect(batches).toHaveLength(1);
    // The schema of the form is that of the batch, whose answers have its column.
    expect(batches[0].config.output).toEqual(mood);
    const { columns, rows } = (await app.get(`/batches/${batches[0].id}/rows`)).body.data;
    expect(columns).toEqual(["city", "notes", "mood"]);
    for (const { cells } of rows) expect(mood.properties.mood.enum).toContain(cells[2]);
    await page.getByRole("columnheader", { name: "mood" }).waitFor();
    const cell = page
      .getByRole("gridcell", { name: "القاهرة" })
      .or(page.locator("td", { hasText: /^القاهرة$/ }));
    expect(await cell.first().evaluate((one) => getComputedStyle(one).direction)).toBe("rtl");
    expect(
      await page
        .locator("tr[data-index]")
        .first()
        .evaluate((one) => one.clientHeight),
    ).toBeLessThan(40);
    await page.locator('tr[data-index="0"]').click();
    const request = page.getByRole("dialog").locator("pre", { hasText: /^صف القاهرة/ });
    expect(await request.evaluate((one) => getComputedStyle(one).direction)).toBe("rtl");
    const time = page.getByRole("dialog").locator("time").first();
    expect(await time.getAttribute("title")).toMatch(/^\d{4}-\d\d-\d\dT.*Z \(UTC\)$/);
    const width = "document.documentElement.scrollWidth <= innerWidth";
    expect(await page.evaluate(width)).toBe(true);
    // Nothing is animated if the reader prefers reduced motion.
    expect(await page.evaluate("document.getAnimations().length")).toBe(0);
    await page.goBack();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByText("2 rows: 2 done").waitFor();
    // Who logs out leaves no draft to the next user of the tab.
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("API key").waitFor();
    expect(await page.evaluate("sessionStorage.length")).toBe(0);
    expect(problems).toEqual([]);
  });
});

/** The name of the focused element, or the number of a row. */
const FOCUSED = `(() => {
  const one = document.activeElement;
  if (one.dataset.index !== undefined) return "row " + (Number(one.dataset.index) + 1);
  return one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent;
})()`;

async function workbook(): Promise<Buffer> {
  const rows = Array.from({ length: 40 }, (_, i) =>
    row(i + 2, String(i + 1), `I like number ${i + 1}`, "shop"),
  );
  return workbookOf([row(1, "nr", "review", "source"), ...rows].join(""));
}

async function authorized(app: Awaited<ReturnType<typeof startServer>>) {
  const { client } = await import("../support/server.ts");
  return client(app.url, app.runner.firstKey ?? "");
}
