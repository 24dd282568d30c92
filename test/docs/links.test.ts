import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

import { anchorsOf, type Page, proseOf, readPage, readPages } from "./pages.ts";

const MOST_LINES_OF_README = 180;

/** Files that a reader of the page creates. */
const NOT_THERE_YET = new Set(["deploy/tls"]);

const pages = readPages();

/** Links to files of the tree: the target's path from the root, and its anchor. */
function linksOf(page: Page): { link: string; path: string; anchor: string | undefined }[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [file = "", anchor] = link.split("#");
      const path = file === "" ? page.path : normalize(join(dirname(page.path), file));
      return { link, path, anchor };
    });
}

test("every relative link leads to a file, and to a heading of it", () => {
  const broken: string[] = [];
  for (const page of pages)
    for (const { link, path, anchor } of linksOf(page)) {
      const isThere =
        existsSync(path) && (anchor === undefined || anchorsOf(readPage(path)).has(anchor));
      if (!isThere) broken.push(`${page.path}: ${link}`);
    }
  expect(broken).toEqual([]);
});

test("every page is reached from the README", () => {
  const reached = new Set(["README.md"]);
  for (const path of reached)
    for (const link of linksOf(readPage(path)))
      if (link.path.endsWith(".md")) reached.add(link.path);
  expect(pages.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
});

test("files of the tree that a page cites exist", () => {
  const cited = pages.flatMap(({ path, text }) =>
    [
      ...text.matchAll(
        /`((?:src|test|examples|drizzle|docs|deploy|\.ci|\.github)\/[\w./-]*)(?::\d+)?`/g,
      ),
    ].map(([, file = ""]) => [path, file] as const),
  );
  expect(cited.length).toBeGreaterThan(50);
  const missing = cited.filter(([, file]) => !existsSync(file) && !NOT_THERE_YET.has(file));
  expect(missing).toEqual([]);
});

test(`the README has at most ${MOST_LINES_OF_README} lines`, () => {
  expect(readPage("README.md").text.split("\n").length).toBeLessThanOrEqual(MOST_LINES_OF_README);
});
