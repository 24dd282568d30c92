import { Command } from "@commander-js/extra-typings";

import packageJson from "../../package.json" with { type: "json" };
import { adminCommand } from "./admin/admin.ts";
import { askCommand } from "./ask.ts";
import { backupCommand, restoreCommand } from "./backup.ts";
import { batchCommand } from "./batch.ts";
import { doctorCommand } from "./doctor.ts";
import { filesCommand } from "./files.ts";
import { keysCommand } from "./keys.ts";
import { mcpCommand } from "./mcp.ts";
import { modelsCommand } from "./models.ts";
import { profileCommand } from "./profile.ts";
import { runCommand } from "./run.ts";
import { scheduleCommand } from "./schedule.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { watchCommand } from "./watch.ts";

/** All commands. Each loads its modules on use. With `isJson`, errors are not printed as text. */
export function createProgram(isJson: boolean): Command {
  const program = new Command("gptrunner")
    .description("Runs LLM work in bulk: a file of rows in, a file of answers out")
    .version(packageJson.version)
    .addHelpText("after", "\nExit codes and examples: docs/command-line.md");
  const commands = [
    runCommand(),
    askCommand(),
    batchCommand(),
    watchCommand(),
    scheduleCommand(),
    filesCommand(),
    keysCommand(),
    modelsCommand(),
    mcpCommand(),
    statusCommand(),
    serveCommand(),
    doctorCommand(),
    profileCommand(),
    backupCommand(),
    restoreCommand(),
    adminCommand(),
  ];
  for (const one of commands) program.addCommand(one as Command);
  return strict(program, isJson);
}

/** Makes wrong options throw, also in subcommands, so that the entry module decides on the exit code. */
function strict(program: Command, isJson: boolean): Command {
  program
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError(isJson ? false : "(--help shows what there is)")
    .configureOutput({ outputError: (text, write) => (isJson ? undefined : write(text)) });
  for (const one of program.commands) strict(one as Command, isJson);
  return program;
}
