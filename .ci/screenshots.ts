/*
 * Takes the pictures of docs/screenshots/ in Chromium: each action of the walk in docs/page.md, and the states of the page.
 *
 *   bun .ci/screenshots.ts                                  # the pictures that are kept: the walk, and each state light and dark
 *   bun .ci/screenshots.ts --to /tmp/shots phone zoom rows  # some looks and states (or "walk"), for a review
 */
import { mkdirSync } from "node:fs";

import { answerHelp } from "../src/lib/script-help.ts";
import { launchBrowser } from "../test/support/browser.ts";
import { LOOKS, STATES, takeStates } from "./screenshots.d/states.ts";
import { takeWalk } from "./screenshots.d/walk.ts";

answerHelp(import.meta.url);

const asked = process.argv.slice(2);
const to = asked[0] === "--to" ? asked.splice(0, 2)[1] : undefined;
const folder = to ?? "docs/screenshots";
mkdirSync(folder, { recursive: true });
const looks = asked.filter((name) => Object.hasOwn(LOOKS, name));
const names = asked.filter((name) => Object.hasOwn(STATES, name));

const browser = await launchBrowser();
try {
  if (asked.length === 0 || asked.includes("walk")) await takeWalk(browser, folder);
  if (asked.length === 0 || looks.length + names.length > 0)
    await takeStates(browser, folder, {
      looks: looks.length > 0 ? looks : ["light", "dark"],
      names: names.length > 0 ? names : Object.keys(STATES),
    });
} finally {
  await browser.close();
}
process.exit(0);
