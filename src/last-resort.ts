import process from "node:process";
import { inspect } from "node:util";

import { getLogger } from "@logtape/logtape";

/**
 * Logs whole what nobody handled. Either is a bug. A rejection leaves one piece of work undone, which
 * others go on without; after an exception nobody knows what is half done, so that the process ends
 * with 1 and what it held is taken over at the next start.
 */
export function installLastResort(): void {
  const log = getLogger(["gptrunner", "process"]);
  process.on("unhandledRejection", (reason) => {
    log.error("A promise was rejected and nobody handled it: {error}", { error: asError(reason) });
  });
  process.on("uncaughtException", (error: unknown) => {
    log.fatal("An exception was thrown and nobody caught it: {error}", { error: asError(error) });
    process.exit(1);
  });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`not an error: ${inspect(thrown)}`);
}
