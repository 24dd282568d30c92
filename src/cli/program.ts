import { Command } from "@commander-js/extra-typings";

import packageJson from "../../package.json" with { type: "json" };
import { backupCommand, restoreCommand } from "./backup.ts";
import { EXIT_HELP } from "./outcome.ts";

/** The command line: what there is to do, each in a file of its own. */
export function createProgram() {
  return new Command("gptrunner")
    .description(packageJson.description)
    .version(packageJson.version)
    .addHelpText("after", EXIT_HELP)
    .addCommand(backupCommand())
    .addCommand(restoreCommand());
}
