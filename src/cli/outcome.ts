import process from "node:process";

import { ConfigError } from "../config.ts";
import { AppError } from "../errors.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { EXIT, type Exit } from "./failure.ts";

export const EXIT_HELP = `
Exit codes: ${EXIT.done} done, ${EXIT.failed} it did not work or a check found something, ${EXIT.usage} called wrongly or the environment is not
usable, ${EXIT.refused} refused, with nothing changed: a server is at work, or something is in the way.`;

/** What came of a command: for people, for programs (\`--json\`), and the exit code. */
export type Outcome = { text: string; json: unknown; exit?: Exit };

/** Does the work of a command and reports the outcome. Bugs are thrown. */
export async function report(isJson: boolean, work: () => Promise<Outcome>): Promise<void> {
  try {
    const { text, json, exit = EXIT.done } = await work();
    console.log(isJson ? JSON.stringify(json, null, 2) : text);
    process.exitCode = exit;
  } catch (error) {
    const { message, exit } = explain(error);
    if (isJson) console.log(JSON.stringify({ error: message }));
    console.error(message);
    process.exitCode = exit;
  }
}

function explain(error: unknown): { message: string; exit: Exit } {
  if (error instanceof Refused) return { message: error.message, exit: EXIT.refused };
  if (error instanceof StartError) return { message: error.message, exit: EXIT.failed };
  if (error instanceof AppError)
    return {
      message: error.message,
      exit: error.code === "SERVICE_UNAVAILABLE" ? EXIT.refused : EXIT.failed,
    };
  if (error instanceof ConfigError)
    return {
      message: `The environment is not usable:\n${error.problems.map((line) => `  ${line}`).join("\n")}`,
      exit: EXIT.usage,
    };
  const trouble = troubleOfMachine(error);
  if (trouble !== undefined) return { message: trouble, exit: EXIT.failed };
  throw error;
}

/** What the database, the disk or the network says, which a person can do something about. */
function troubleOfMachine(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error ? String(error.code) : "";
  return /^(SQLITE_|E[A-Z]+$|HRANA|SERVER_|STREAM|HTTP)/.test(code) || error.name === "Unreachable"
    ? `It did not work: ${error.message}`
    : undefined;
}
