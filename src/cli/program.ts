import { Command } from "@commander-js/extra-typings";

import packageJson from "../../package.json" with { type: "json" };
import { checkCommand } from "./admin/check.ts";
import { filesCommand } from "./admin/files.ts";
import { keyCommand } from "./admin/key.ts";
import { nodesCommand } from "./admin/nodes.ts";
import { pruneCommand } from "./admin/prune.ts";
import { vacuumCommand } from "./admin/vacuum.ts";
import { backupCommand, restoreCommand } from "./backup.ts";
import { EXIT_HELP } from "./outcome.ts";

/** The command line: what there is to do, each in a file of its own. */
export function createProgram() {
  const admin = new Command("admin")
    .description(
      "Look after the database and files of the environment, beside the server or without it",
    )
    .addHelpText("after", EXIT_HELP)
    .addCommand(keyCommand())
    .addCommand(checkCommand())
    .addCommand(vacuumCommand())
    .addCommand(filesCommand())
    .addCommand(pruneCommand())
    .addCommand(nodesCommand());
  return new Command("gptrunner")
    .description(packageJson.description)
    .version(packageJson.version)
    .addHelpText("after", EXIT_HELP)
    .addCommand(backupCommand())
    .addCommand(restoreCommand())
    .addCommand(admin);
}
