/*
 * `bun run check:dependencies`: no package may have a licence that puts conditions on users of this program, or a known
 * vulnerability of high severity. The registry knows the vulnerabilities. If it does not answer (no network, a mirror),
 * the check says so and passes.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { answerHelp } from "../src/lib/script-help.ts";

answerHelp(import.meta.url);

const ALLOWED = new Set([
  "MIT",
  "ISC",
  "0BSD",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "Apache-2.0",
  "Unlicense",
  "BlueOak-1.0.0",
  "CC0-1.0",
]);

/** Packages that only tests use and that are not distributed. MPL-2.0 covers only changes to its own files. */
const TESTS_ONLY = new Map([["axe-core", "MPL-2.0"]]);

const found = installed("node_modules");
const odd = found.filter(
  ({ name, licence }) =>
    !licence.split(" OR ").some((one) => ALLOWED.has(one)) &&
    TESTS_ONLY.get(name.slice(0, name.lastIndexOf("@"))) !== licence,
);
for (const { name, licence } of odd) console.error(`${name}: licence ${licence} is not allowed`);
console.log(`${found.length} packages, ${odd.length} under another licence than those allowed`);

const audit = Bun.spawnSync([process.execPath, "audit", "--audit-level=high"]);
const said = `${audit.stdout.toString()}${audit.stderr.toString()}`;
const isUnanswered = /^error: /m.test(said);
console.log(isUnanswered ? "The registry gave no list of known vulnerabilities" : said.trim());
process.exit(odd.length > 0 || (audit.exitCode !== 0 && !isUnanswered) ? 1 : 0);

type Package = { name: string; licence: string };

/** Every package in a folder, those inside other packages included. */
function installed(folder: string): Package[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith("."))
    .flatMap((name) => {
      const path = join(folder, name);
      if (name.startsWith("@")) return installed(path);
      return readPackage(path).concat(installed(join(path, "node_modules")));
    });
}

function readPackage(folder: string): Package[] {
  const path = join(folder, "package.json");
  if (!existsSync(path)) return [];
  const { name, version, license } = JSON.parse(readFileSync(path, "utf8"));
  const licence = String(license?.type ?? license ?? "none").replace(/^\((.*)\)$/, "$1");
  return [{ name: `${name}@${version}`, licence }];
}
