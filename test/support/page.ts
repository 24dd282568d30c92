import { createRequire } from "node:module";

import type { Browser, BrowserContextOptions, Page } from "playwright-core";

import { type Json, KEY } from "./server.ts";

/** Set if the page is already built, for example by `test/run.ts`. */
export const PAGE_IS_BUILT = "PAGE_IS_BUILT";

/** Builds the page from the current source, once per process. */
export function buildPage(): void {
  if (process.env[PAGE_IS_BUILT] === "1") return;
  const built = Bun.spawnSync([process.execPath, "run", "--silent", "build"]);
  if (built.exitCode !== 0) throw new Error(`the page cannot be built: ${built.stderr}`);
  process.env[PAGE_IS_BUILT] = "1";
}

/** The page, logged in, with a record of the errors that it logs and of its requests to other servers. */
export async function openApp(
  browser: Browser | undefined,
  app: { url: string },
  {
    key = KEY,
    at = "",
    prepare = async () => undefined,
    ...options
  }: BrowserContextOptions & {
    key?: string;
    at?: string;
    prepare?: (page: Page) => Promise<unknown>;
  } = {},
) {
  if (!browser) throw new Error("there is no browser");
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  const asked: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    const url = request.url();
    asked.push(`${request.method()} ${url.replace(app.url, "")}`);
    if (!url.startsWith(app.url) && !url.startsWith("blob:")) problems.push(`asked ${url}`);
  });
  await prepare(page);
  await page.goto(`${app.url}/${at}`);
  if (key !== "") {
    await page.getByLabel("API key").fill(key);
    await page.getByRole("button", { name: "Open the page" }).click();
  }
  return { page, problems, asked, [Symbol.asyncDispose]: () => context.close() };
}

/** The violations that axe finds, of any severity. */
export async function findings(page: Page): Promise<Json[]> {
  // Evaluated as text by the debugger, because the page's content security policy blocks other scripts.
  const axe = await Bun.file(createRequire(import.meta.url).resolve("axe-core/axe.min.js")).text();
  await page.evaluate(axe);
  const { violations } = (await page.evaluate("axe.run()")) as Json;
  return violations.map(({ id, nodes }: Json) => [id, nodes[0]?.html, nodes[0]?.failureSummary]);
}

export const batchRow = (page: Page, id: string) => page.locator(`tr[data-batch="${id}"]`);

export const prompts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `Describe entry ${i}`, model: "gpt-4o" }));
