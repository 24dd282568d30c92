/// The entry of the command line: `bun src/cli/main.ts`, `deno run -A src/cli/main.ts`.

import process from "node:process";

import { type Command, CommanderError } from "@commander-js/extra-typings";

import { EXIT } from "./outcome.ts";
import { createProgram } from "./program.ts";

const program = createProgram();
throwInsteadOfExiting(program as Command);
try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // The error or the help is printed by then.
  process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.misuse;
}

/** A command that ends the process itself could lose what it has printed. */
function throwInsteadOfExiting(command: Command): void {
  command.exitOverride();
  command.showHelpAfterError("(--help lists the commands)");
  for (const one of command.commands) throwInsteadOfExiting(one as Command);
}
