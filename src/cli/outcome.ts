import process from "node:process";

import { ConfigError } from "../config.ts";
import { AppError } from "../errors.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { CliError, EXIT, type Exit, usageError } from "./failure.ts";

export const EXIT_HELP = `
Exit codes: ${EXIT.done} done, ${EXIT.failed} it did not work or a check found something, ${EXIT.usage} called wrongly or the environment is not
usable, ${EXIT.refused} refused, with nothing changed: a server is at work, or something is in the way.`;

/** The result of a command: as text, as JSON (`--json`), and the exit code. */
export type Outcome = { text: string; json: unknown; exit?: Exit };

/** Runs a command and prints the outcome. Throws `CliError`; bugs are thrown unchanged. */
export async function report(isJson: boolean, work: () => Promise<Outcome>): Promise<void> {
  const {
    text,
    json,
    exit = EXIT.done,
  } = await work().catch((error: unknown) => {
    throw explain(error);
  });
  console.log(isJson ? JSON.stringify(json, null, 2) : text);
  process.exitCode = exit;
}

function explain(error: unknown): unknown {
  if (error instanceof Refused) return new CliError(EXIT.refused, error.message);
  if (error instanceof StartError) return new CliError(EXIT.failed, error.message);
  if (error instanceof AppError) {
    const exit = error.code === "SERVICE_UNAVAILABLE" ? EXIT.refused : EXIT.failed;
    return new CliError(exit, error.message, { code: error.code });
  }
  if (error instanceof ConfigError) {
    const problems = error.problems.map((line) => `  ${line}`).join("\n");
    return usageError(`The environment is not usable:\n${problems}`);
  }
  const trouble = troubleOfMachine(error);
  return trouble === undefined ? error : new CliError(EXIT.failed, trouble);
}

/** The message of an error of the database, the disk or the network, which the operator can solve. */
function troubleOfMachine(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error ? String(error.code) : "";
  return /^(SQLITE_|E[A-Z]+$|HRANA|SERVER_|STREAM|HTTP)/.test(code) || error.name === "Unreachable"
    ? `It did not work: ${error.message}`
    : undefined;
}
