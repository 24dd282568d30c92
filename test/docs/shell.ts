import { expect } from "bun:test";
import { join, resolve } from "node:path";

import manifest from "../../package.json";
import { COMMAND_LINE_IN_SHELL } from "../support/program.ts";
import { KEY } from "../support/server.ts";

/** `bun run NAME` without the installation at the beginning of each script, which is already done. */
const BUN_RUN = Object.entries(manifest.scripts)
  .map(([name, script]) => {
    const whole = script.replace(/^bun run cli\b/, manifest.scripts.cli);
    return [name, /\bexec bun (\S+\.ts)(.*)$/.exec(whole)] as const;
  })
  .map(([name, found]) => (found ? `${name}) ${commandOf(found[1] ?? "")}${found[2]} "$@" ;;` : ""))
  .join("\n");

const PRELUDE = `
curl() { command curl -sS --fail-with-body "$@"; echo; }
npx() { echo "npx takes packages from a registry, and does not run here: $*" >&2; return 1; }
bun() {
  [ "$1" = run ] || { echo "not in the documentation's shell: bun $*" >&2; return 1; }
  local name=$2
  shift 2
  case $name in
    ${BUN_RUN}
    *) echo "no script: $name" >&2; return 1 ;;
  esac
}
`;

function commandOf(path: string): string {
  return path === "src/cli/main.ts" ? COMMAND_LINE_IN_SHELL : `"$BUN" "${resolve(path)}"`;
}

/** Folders that the pages name. Here they are inside the test's own folder. */
const PLACES = ["/backups", "/tmp/trial"];

/**
 * Runs a shell script as it is printed, in which every curl must succeed, against this server instead of port
 * 3000. `folder` is the working directory, and `data` in it that of the server.
 */
export async function runScript(script: string, url: string, folder: string): Promise<string> {
  const text = PLACES.reduce(
    (text, place) => text.replaceAll(place, join(folder, place)),
    script.replaceAll("http://localhost:3000", url),
  );
  const shell = Bun.spawn(["bash", "-euc", `${PRELUDE}\n${text}`], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: folder,
      BUN: process.execPath,
      DATA_DIR: join(folder, "data"),
      KEY,
      no_proxy: "*",
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(shell.stdout).text(),
    new Response(shell.stderr).text(),
    shell.exited,
  ]);
  expect([code, errors, output.includes('"success":false')]).toEqual([0, "", false]);
  return output.replaceAll(url, "");
}
