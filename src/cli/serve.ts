import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";

import { command, whole } from "./command.ts";

/** `gptrunner serve`. */
export function serveCommand() {
  return command(
    "serve",
    "Start the server; all other settings are environment variables (docs/configuration.md)",
  )
    .option("--port <n>", "instead of PORT", whole(0))
    .option("--host <address>", "instead of HOST")
    .option(
      "--dir <folder>",
      "instead of DATA_DIR; ./.gptrunner is the folder of the other commands",
    )
    .action(async ({ port, host, dir }) => {
      if (port !== undefined) process.env["PORT"] = String(port);
      if (host !== undefined) process.env["HOST"] = host;
      if (dir !== undefined) serveFolder(resolve(dir));
      // The process itself looks for `--json` among its arguments.
      await ("Deno" in globalThis ? import("../deno.ts") : import("../main.ts"));
      // A signal ends the server and the process.
      await new Promise(() => {});
    });
}

/** The folder of the other commands has its own key, which schedules that were created there need. */
function serveFolder(folder: string): void {
  process.env["DATA_DIR"] = folder;
  const path = join(folder, "key");
  if (!existsSync(path)) return;
  const keys = [readFileSync(path, "utf8").trim(), process.env["API_KEYS"]?.trim()];
  process.env["API_KEYS"] = keys.filter((key) => key).join(",");
  process.stderr.write(`The API key is in ${path}\n`);
}
