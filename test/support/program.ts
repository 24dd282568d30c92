import { resolve } from "node:path";
import process from "node:process";

/** The path of the compiled program, if `test/run.ts` has compiled it. */
export const COMPILED_PROGRAM = "COMPILED_PROGRAM";

const compiled = process.env[COMPILED_PROGRAM];

/** The first words of `gptrunner …`. */
export const COMMAND_LINE: readonly [string, ...string[]] =
  compiled === undefined ? [process.execPath, resolve("src/cli/main.ts")] : [compiled];

/** Starts the server. */
export const SERVER: readonly [string, ...string[]] =
  compiled === undefined ? [process.execPath, resolve("src/main.ts")] : [compiled, "serve"];

/** `gptrunner` for a shell. */
export const COMMAND_LINE_IN_SHELL = COMMAND_LINE.map((word) => `"${word}"`).join(" ");
