/*
 * Takes docs/page.png, the picture in the README: the page in Chromium while the demo's rows run.
 *
 *   bun .ci/picture.ts
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { answerHelp } from "../src/lib/script-help.ts";
import { launchBrowser } from "../test/support/browser.ts";
import { temporaryFolder } from "../test/support/process.ts";
import { KEY, startServer, until } from "../test/support/server.ts";

answerHelp(import.meta.url);

using folder = temporaryFolder();
mkdirSync(join(folder.path, "files"));
copyFileSync("examples/tasks.csv", join(folder.path, "files", "tasks.csv"));
await using app = await startServer({ DATA_DIR: folder.path, SIMULATOR_LATENCY_MS: "2500" });

const browser = await launchBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  await page.goto(app.url);
  await page.getByLabel("API key").fill(KEY);
  await page.getByRole("button", { name: "Open the page" }).click();
  await app.post("/batches", {
    id: "demo",
    name: "Demo",
    inputFile: "tasks.csv",
    config: {
      systemPrompt: "Answer briefly. You are talking to {{audience}}.",
      maxTokens: 200,
      maxConcurrency: 8,
    },
  });
  await app.post("/batches/demo/execute");
  await until(async () => {
    const { body } = await app.get("/batches/demo");
    return body.data.progress.completed >= 40 || undefined;
  }, 120_000);
  // The page reads sums and plots when it opens, and later less often than the batches.
  await page.reload();
  await page.getByRole("link", { name: "Demo" }).waitFor();
  await page.locator(".uplot").first().waitFor();
  await page.screenshot({ path: "docs/page.png" });
} finally {
  await browser.close();
}
