/*
 * bun run build: bundles the page (`app/`) into dist/page, with each file also compressed, for `page.ts` to serve.
 * File names contain hashes of their content, so that browsers may cache all files except index.html.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { answerHelp } from "../../lib/script-help.ts";

answerHelp(import.meta.url);

const app = join(dirname(fileURLToPath(import.meta.url)), "app");
const target = join(app, "../../../../dist/page");
/** Written beside the target, so that a served page is never half of one and half of another. */
const draft = `${target}-${process.pid}`;

rmSync(draft, { recursive: true, force: true });
mkdirSync(draft, { recursive: true });
const { outputs } = await Bun.build({
  entrypoints: [join(app, "main.tsx"), join(app, "style/style.css")],
  outdir: draft,
  target: "browser",
  minify: true,
  splitting: true,
  naming: {
    entry: "[name]-[hash].[ext]",
    chunk: "part-[hash].[ext]",
    asset: "[name]-[hash].[ext]",
  },
  jsx: { runtime: "automatic", importSource: "preact", development: false },
  define: { "process.env.NODE_ENV": '"production"' },
});
const nameOf = (extension: string): string => {
  const found = outputs.find(({ kind, path }) => kind !== "chunk" && path.endsWith(extension));
  if (!found) throw new Error(`the bundle has no ${extension}`);
  return found.path.slice(found.path.lastIndexOf("/") + 1);
};
const early = await Bun.build({
  entrypoints: [join(app, "early.ts")],
  target: "browser",
  format: "iife",
  minify: true,
});
const script = ((await early.outputs[0]?.text()) ?? "").trim();
const html = readFileSync(join(app, "index.html"), "utf8")
  // As a function, because `$` has a meaning in a replacement.
  .replace('<script src="early.ts"></script>', () => `<script>${script}</script>`)
  .replace("main.tsx", nameOf(".js"))
  .replace("style/style.css", nameOf(".css"));
writeFileSync(join(draft, "index.html"), html);
writeFileSync(join(draft, "icon.svg"), readFileSync(join(app, "icon.svg")));
let compressed = 0;
for (const { path } of outputs) {
  const bytes = readFileSync(path);
  const brotli = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 9 },
  });
  writeFileSync(`${path}.br`, brotli);
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  compressed += brotli.length;
}
publish();
console.log(`The page: ${outputs.length} files, ${Math.round(compressed / 1024)} kB compressed`);

/** Replaces the served page, unless it is the same: another process may be serving or publishing it. */
function publish(): void {
  if (isPublished()) return rmSync(draft, { recursive: true });
  const former = `${draft}-former`;
  if (existsSync(target)) renameSync(target, former);
  renameSync(draft, target);
  rmSync(former, { recursive: true, force: true });
}

/** The names of scripts and styles contain hashes of their content; only the other files need to be read. */
function isPublished(): boolean {
  if (!existsSync(target)) return false;
  const namesIn = (folder: string) => readdirSync(folder).toSorted().join();
  return (
    namesIn(target) === namesIn(draft) &&
    ["index.html", "icon.svg"].every((name) =>
      readFileSync(join(target, name)).equals(readFileSync(join(draft, name))),
    )
  );
}
