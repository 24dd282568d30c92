import type { Browser, Page } from "playwright-core";

import { KEY, startServer } from "../../test/support/server.ts";
import { shoot } from "./shot.ts";
import { reviewsWorkbook, startReviewer } from "./world.ts";

type Act = (page: Page, url: string) => Promise<unknown>;

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

/** From an Excel file to an Excel file with answers, as in docs/page.md: each action, and the sign that it is done. */
const ACTIONS: { do: Act; seen: Act }[] = [
  {
    do: (page, url) => page.goto(url),
    seen: (page) => page.getByLabel("API key").waitFor(),
  },
  {
    do: (page) => page.getByLabel("API key").fill(KEY),
    seen: async () => undefined,
  },
  {
    do: (page) => button(page, "Open the page").click(),
    seen: (page) => page.getByText("Live", { exact: true }).waitFor(),
  },
  {
    do: (page) => page.getByRole("link", { name: "New run" }).click(),
    seen: (page) => page.getByText("paste cells that you have copied").waitFor(),
  },
  {
    do: async (page) => dropFile(page, "reviews.xlsx", await reviewsWorkbook()),
    seen: (page) => page.getByText("40 rows · 3 columns · XLSX").waitFor(),
  },
  {
    do: (page) => page.getByLabel("Prompt of each row").fill("What does this customer feel? "),
    seen: (page) => page.getByText(/\d+ tokens for/).waitFor(),
  },
  {
    do: (page) => button(page, "review").click(),
    seen: (page) => page.getByText("What does this customer feel? The kettle").waitFor(),
  },
  {
    do: (page) => page.getByLabel("Each answer is").selectOption("columns"),
    seen: (page) => page.getByLabel("Column 1", { exact: true }).waitFor(),
  },
  {
    do: (page) => page.getByLabel("Column 1", { exact: true }).fill("sentiment"),
    seen: (page) => page.getByLabel("Column 2", { exact: true }).waitFor(),
  },
  {
    do: (page) => page.getByLabel("Column 2", { exact: true }).fill("reason"),
    seen: (page) => page.getByLabel("Column 3", { exact: true }).waitFor(),
  },
  {
    do: (page) => button(page, "Next row").click(),
    seen: (page) => page.getByText("What does this customer feel? Arrived").waitFor(),
  },
  {
    do: (page) => button(page, "Try 5 rows").click(),
    seen: (page) => page.locator(".estimate").getByText("by the 5 rows tried").waitFor(),
  },
  {
    do: (page) => page.getByLabel("Costs at most, in USD").fill("5"),
    seen: async () => undefined,
  },
  {
    do: (page) => button(page, "Run all").click(),
    seen: (page) => page.getByText("40 rows: 40 done").waitFor(),
  },
  {
    do: (page) => page.getByRole("grid").getByText("arrived broken twice").first().click(),
    seen: (page) => page.getByRole("dialog").getByText("attempt 1: completed").waitFor(),
  },
  {
    do: (page) => button(page, "Close").click(),
    seen: (page) => page.getByRole("dialog").waitFor({ state: "detached" }),
  },
  {
    do: async (page) => {
      const [saved] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: /as a workbook/ }).click(),
      ]);
      const head = Buffer.from(
        await Bun.file(await saved.path())
          .slice(0, 2)
          .arrayBuffer(),
      );
      if (!saved.suggestedFilename().endsWith(".xlsx") || head.toString() !== "PK")
        throw new Error(`${saved.suggestedFilename()} is not a workbook`);
    },
    seen: async () => undefined,
  },
];

export async function takeWalk(browser: Browser, folder: string): Promise<void> {
  await using provider = await startReviewer();
  await using app = await startServer(provider.env);
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  for (const [i, action] of ACTIONS.entries()) {
    await action.do(page, app.url);
    await action.seen(page, app.url);
    await page.waitForTimeout(400);
    await shoot(page, folder, `walk-${String(i + 1).padStart(2, "0")}`);
  }
  await context.close();
}

/** Drops a file on the page, as a user would. */
async function dropFile(page: Page, name: string, bytes: Buffer): Promise<void> {
  const data = await page.evaluateHandle(
    ([name, base64]) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
      transfer.items.add(new File([bytes], name));
      return transfer;
    },
    [name, bytes.toString("base64")] as const,
  );
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: data });
}
