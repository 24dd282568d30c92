import { chromium } from "playwright-core";

import { buildPage } from "./page.ts";
import { browserPath } from "./tools.ts";

export function launchBrowser() {
  buildPage();
  return chromium.launch({
    executablePath: browserPath ?? "",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"],
  });
}

/** A page in its own browser, which closes when the test ends. */
export async function openPage(url: string) {
  const browser = await launchBrowser();
  // The page's content security policy would block the scripts that tests run in it.
  const page = await browser.newPage({ bypassCSP: true });
  await page.goto(url);
  return { page, [Symbol.asyncDispose]: () => browser.close() };
}
