import { Command } from "@commander-js/extra-typings";

import { EXIT_HELP } from "../outcome.ts";
import { checkCommand } from "./check.ts";
import { filesCommand } from "./files.ts";
import { keyCommand } from "./key.ts";
import { nodesCommand } from "./nodes.ts";
import { pruneCommand } from "./prune.ts";
import { vacuumCommand } from "./vacuum.ts";

/** `gptrunner admin`. */
export function adminCommand() {
  return new Command("admin")
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
}
