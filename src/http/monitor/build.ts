/*
 * bun run build: bundles the page (`app/`) into dist/page, with each file also compressed, for `page.ts` to serve.
 * File names contain hashes of their content, so that browsers may cache all files except index.html.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { answerHelp } from "../../lib/script-help.ts";

answerHelp(import.meta.url);

const app = join(dirname(fileURLToPath(import.meta.url)), "app");
const target = join(app, "../../../../dist/page");
/** Written beside the target, so that a served page is replaced at once or not at all. */
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
const html = readFileSync(join(app, "index.html"), "utf8")
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
rmSync(target, { recursive: true, force: true });
renameSync(draft, target);
console.log(`The page: ${outputs.length} files, ${Math.round(compressed / 1024)} kB compressed`);
