/*
 * `bun run compile [OUTFILE]`: makes one binary of the command line, `serve` included, for this machine's system. It
 * contains Bun, libSQL, the migrations, the page and Swagger UI. It needs the C library, and libgcc_s for libSQL.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

import { answerHelp } from "../src/lib/script-help.ts";

answerHelp(import.meta.url);

const outfile = process.argv[2] ?? "dist/gptrunner";
/** The folder in which Bun puts embedded files. */
const EMBEDDED = "/$bunfs/root";
const SWAGGER = "node_modules/swagger-ui-dist";
const ENTRY = "src/cli/main.ts";
/** The entry modules of worker threads: the arguments of `workerThreads`. */
const THREADS = filesIn("src").flatMap((path) =>
  path.endsWith(".ts")
    ? [...readFileSync(path, "utf8").matchAll(/workerThreads\("([^"]+)"\)/g)].map(
        ([, entry]) => entry ?? "",
      )
    : [],
);
const ASSETS = [
  ...filesIn("drizzle").filter((path) => /\.sql$|(_journal|beside)\.json$/.test(path)),
  ...filesIn("dist/page"),
  `${SWAGGER}/swagger-ui.css`,
  `${SWAGGER}/swagger-ui-bundle.js`,
];

/** Modules that find files in the source tree, each with a replacement that finds them in the binary. */
const REPLACED: Record<string, string> = {
  "src/lib/program-root.ts": `export const PROGRAM_ROOT = new URL("file://${EMBEDDED}/");`,
  "src/http/swagger-files.ts": `export const SWAGGER_FOLDER = "${EMBEDDED}/${SWAGGER}";`,
};
const libSql = `@libsql/${process.platform}-${process.arch}${process.platform === "linux" ? "-gnu" : ""}`;

const { success, logs } = await Bun.build({
  entrypoints: [ENTRY, ...THREADS],
  root: ".",
  target: "bun",
  // The program finds files by their names in the source tree.
  naming: { asset: "[dir]/[name].[ext]", entry: "[dir]/[name].[ext]" },
  compile: { outfile },
  // The program starts in a quarter of the time without parsing its packages. Bytecode needs a named format.
  bytecode: true,
  format: "esm",
  plugins: [
    {
      name: "embed",
      setup(build) {
        build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
          const name = relative(process.cwd(), path);
          const text = REPLACED[name] ?? (await Bun.file(path).text());
          return { loader: "ts", contents: name === ENTRY ? embedding(text) : text };
        });
        // The driver chooses its native module at run time, which a bundler cannot resolve.
        build.onLoad({ filter: /\/node_modules\/libsql\/index\.js$/ }, async ({ path }) => {
          const text = await Bun.file(path).text();
          const chosen = "require(`@libsql/${target}`)";
          if (!text.includes(chosen)) throw new Error(`${path} does not contain ${chosen}`);
          return { loader: "js", contents: text.replace(chosen, `require("${libSql}")`) };
        });
      },
    },
  ],
});
for (const log of logs) console.error(log);
if (!success) process.exit(1);
console.log(`${outfile}: ${Math.round(Bun.file(outfile).size / 1e6)} MB`);

/** The module, with imports that embed all assets. */
function embedding(text: string): string {
  const imports = ASSETS.map(
    (path) => `import ${JSON.stringify(`../../${path}`)} with { type: "file" };`,
  );
  return `${imports.join("\n")}\n${text.replace(/^#!.*\n/, "")}`;
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
