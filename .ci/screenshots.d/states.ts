import type { Browser, BrowserContextOptions, Page } from "playwright-core";

import { KEY, startServer } from "../../test/support/server.ts";
import { shoot } from "./shot.ts";
import { reviewsWorkbook, startWorld } from "./world.ts";

type World = { url: string; hook: string };
type State = {
  at: string | ((world: World) => string);
  /** Runs before the page is opened. */
  prepare?: (page: Page, world: World) => Promise<unknown>;
  /** Runs before the picture is taken, and resolves when its subject is visible. */
  reach: (page: Page) => Promise<unknown>;
  isLoggedOut?: true;
  isEmpty?: true;
};

const text = (words: string | RegExp) => (page: Page) => page.getByText(words).first().waitFor();

export const STATES: Record<string, State> = {
  login: { at: "", isLoggedOut: true, reach: (page) => page.getByLabel("API key").waitFor() },
  empty: { at: "", isEmpty: true, reach: text("No task ended in this period.") },
  loading: {
    at: "#/batches",
    prepare: (page) => page.route("**/api/v1/batches?*", () => undefined),
    reach: text("Loading…"),
  },
  error: {
    at: "#/batches",
    prepare: (page) =>
      page.route("**/api/v1/batches?*", (route) =>
        route.fulfill({
          status: 503,
          json: { error: { code: "SERVICE_UNAVAILABLE", message: "The database is busy" } },
        }),
      ),
    reach: text("The database is busy"),
  },
  offline: {
    at: "",
    prepare: async (page, { url }) => {
      const state = await firstEvent(`${url}/api/v1/live`);
      let streams = 0;
      await page.route("**/api/v1/live", (route) =>
        streams++ === 0
          ? route.fulfill({ contentType: "text/event-stream", body: state })
          : route.abort(),
      );
    },
    reach: async (page) => {
      await text("The connection to the server is down.")(page);
      await page.locator(".uplot").nth(2).waitFor();
    },
  },
  overview: { at: "", reach: (page) => page.locator(".uplot").nth(2).waitFor() },
  batch: {
    at: "#/batches/catalogue",
    reach: (page) => page.locator("#results .badge").first().waitFor(),
  },
  row: {
    at: "#/batches/reviews?task=reviews-5",
    reach: (page) => page.getByRole("dialog").getByText("attempt 1: completed").waitFor(),
  },
  rows: {
    at: "#/batches/reviews?status=failed",
    reach: (page) => page.locator("#results .badge").first().waitFor(),
  },
  workbench: {
    at: "#/new",
    reach: async (page) => {
      await page.getByLabel("Table file").setInputFiles({
        name: "reviews.xlsx",
        mimeType: "application/octet-stream",
        buffer: await reviewsWorkbook(),
      });
      await page.getByLabel("Prompt of each row").fill("What does this customer feel? {{review}}");
      await page.getByLabel("Each answer is").selectOption("columns");
      await page.getByLabel("Column 1", { exact: true }).fill("sentiment");
      await page.getByLabel("Column 2", { exact: true }).fill("reason");
      await page.getByText(/\d+ tokens for/).waitFor();
      await page.getByRole("button", { name: "Try 5 rows" }).click();
      await page.locator(".estimate").getByText("by the 5 rows tried").waitFor();
    },
  },
  compare: {
    at: "#/compare?left=one-word&right=again",
    reach: (page) => page.getByRole("table", { name: "Comparison" }).waitFor(),
  },
  schedules: { at: "#/schedules", reach: text("Weekly survey") },
  "schedule-form": {
    at: "#/schedules/new",
    reach: (page) => page.locator(".times li").nth(4).waitFor(),
  },
  schedule: {
    at: "#/schedules",
    reach: async (page) => {
      await page.getByRole("link", { name: "Reviews of the night" }).first().click();
      await page.getByRole("heading", { name: "Next times" }).waitFor();
    },
  },
  webhooks: { at: "#/webhooks", reach: text("Ticket system") },
  webhook: {
    at: ({ hook }) => `#/webhooks/${hook}`,
    reach: text("task.completed"),
  },
  keys: { at: "#/keys", reach: text("Nightly import") },
  "key-form": { at: "#/keys/new", reach: (page) => page.getByLabel("Name").waitFor() },
  files: { at: "#/files", reach: text("reviews of the spring.xlsx") },
  models: { at: "#/models", reach: text("gpt-4o-mini") },
  alerts: { at: "#/alerts", reach: text("disk.nearly_full") },
  audit: { at: "#/audit", reach: text("scheduled-tasks.run") },
};

export const LOOKS: Record<string, BrowserContextOptions> = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
  /** The same as a window of 1280 × 860 at 200 %. */
  zoom: { colorScheme: "light", viewport: { width: 640, height: 430 }, deviceScaleFactor: 2 },
  contrast: { colorScheme: "light", contrast: "more", forcedColors: "active" },
};

export async function takeStates(
  browser: Browser,
  folder: string,
  { looks, names }: { looks: string[]; names: string[] },
): Promise<void> {
  await using world = await startWorld();
  await using empty = await startServer();
  for (const look of looks) {
    for (const name of names) {
      const state = STATES[name];
      if (!state) throw new Error(`there is no state ${name}`);
      const { url } = state.isEmpty ? empty : world.app;
      const context = await browser.newContext({
        viewport: { width: 1280, height: 860 },
        locale: "en-GB",
        timezoneId: "Europe/Berlin",
        ...LOOKS[look],
      });
      const page = await context.newPage();
      const here = { url, hook: world.hook };
      await state.prepare?.(page, here);
      const at = typeof state.at === "string" ? state.at : state.at(here);
      await page.goto(`${url}/${at}`);
      if (!state.isLoggedOut) {
        await page.getByLabel("API key").fill(KEY);
        await page.getByRole("button", { name: "Open the page" }).click();
      }
      try {
        await state.reach(page);
      } catch (error) {
        console.error(`${name}-${look}: ${String(error).split("\n")[0]}`);
      }
      await page.waitForTimeout(500);
      await shoot(page, folder, `${name}-${look}`);
      await context.close();
    }
  }
}

/** The first event of a stream. */
async function firstEvent(url: string): Promise<string> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${KEY}` } });
  const decoder = new TextDecoder();
  let said = "";
  for await (const chunk of response.body ?? []) {
    said += decoder.decode(chunk, { stream: true });
    if (/data:.*\n\n/.test(said)) break;
  }
  return said;
}
