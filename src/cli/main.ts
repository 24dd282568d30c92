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
// The last output may not have reached the pipe yet.
await new Promise<void>((resolve) => process.stderr.write("", () => resolve()));
// Threads and sockets of a closed server must not keep the process alive.
process.exit(process.exitCode ?? EXIT.done);

/** Prints the error, and returns the exit code. An unexpected error is a bug and is printed with its stack. */
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

/** Prints an error of usage as JSON for programs; for people it was already printed. */
function printMisuse({ exitCode, message }: CommanderError): number {
  if (exitCode === 0) return EXIT.done;
  const error = { code: "USAGE", message: message.replace(/^error: /, ""), details: {} };
  if (isJson) process.stderr.write(`${JSON.stringify({ error })}\n`);
  return EXIT.usage;
}
