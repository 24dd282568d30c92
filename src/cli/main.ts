#!/usr/bin/env bun
/// The entry of the command line, `gptrunner`; on Deno `deno run -A src/cli/main.ts`.

import process from "node:process";

import { CommanderError } from "@commander-js/extra-typings";

import { CliError, describeError, EXIT } from "./failure.ts";
import { createProgram } from "./program.ts";
import { plainLines } from "./terminal.ts";

const args = process.argv.slice(2);
const isJson = args.includes("--json");
try {
  await createProgram(isJson).parseAsync(args, { from: "user" });
} catch (error) {
  process.exitCode = printFailure(error);
}
// The last output may still be on its way into a pipe.
await new Promise<void>((resolve) => process.stderr.write("", () => resolve()));
// Threads and sockets of a server that has been closed must not keep the process.
process.exit(process.exitCode ?? EXIT.done);

/** Prints the error, and returns the exit code. Anything unforeseen is a bug and shows where it is. */
function printFailure(error: unknown): number {
  if (error instanceof CommanderError) return printMisuse(error);
  if (!(error instanceof CliError)) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : error}\n`);
    return EXIT.failed;
  }
  const { code, message, details } = error;
  process.stderr.write(
    isJson
      ? `${JSON.stringify({ error: { code, message, details } })}\n`
      : `${plainLines(describeError(error))}\n`,
  );
  return error.exit;
}

/** Prints what programs need; the error or the help is printed for people by then. */
function printMisuse({ exitCode, message }: CommanderError): number {
  if (exitCode === 0) return EXIT.done;
  const error = { code: "USAGE", message: message.replace(/^error: /, ""), details: {} };
  if (isJson) process.stderr.write(`${JSON.stringify({ error })}\n`);
  return EXIT.usage;
}
