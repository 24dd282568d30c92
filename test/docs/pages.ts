import { readdirSync, readFileSync } from "node:fs";

export type Page = { path: string; text: string };

/** The README, the other pages beside it, and all pages in docs/ and examples/. */
export function readPages(): Page[] {
  const beside = readdirSync(".").filter((name) => name.endsWith(".md"));
  const below = ["docs", "examples"].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}/${name}`),
  );
  return [...beside, ...below]
    .toSorted()
    .map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

export function readPage(path: string): Page {
  return { path, text: readFileSync(path, "utf8") };
}

/** The fenced code blocks of a language. */
export function blocksOf({ text }: Page, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return [...text.matchAll(fence)].map(([, block]) => block ?? "");
}

/** The text between two headings, without fenced blocks, whose comments look like headings. */
export function proseOf({ text }: Page): string {
  return text.replaceAll(/^```.*?^```$/gms, "");
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: Page): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of proseOf(page).matchAll(/^#+ (.*)$/gm)) {
    const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "");
    const anchor = plain.replaceAll(" ", "-");
    let unique = anchor;
    for (let i = 1; anchors.has(unique); i++) unique = `${anchor}-${i}`;
    anchors.add(unique);
  }
  return anchors;
}
