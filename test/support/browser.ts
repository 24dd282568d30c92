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

/** A page in a browser of its own, gone with the test. */
export async function openPage(url: string) {
  const browser = await launchBrowser();
  // What tests run in the page is not what the page itself may run.
  const page = await browser.newPage({ bypassCSP: true });
  await page.goto(url);
  return { page, [Symbol.asyncDispose]: () => browser.close() };
}
