import process from "node:process";
import { inspect } from "node:util";

import { getLogger } from "@logtape/logtape";

/**
 * Logs unhandled errors completely. Both kinds are bugs. A rejection leaves one piece of work undone, and the rest
 * continues. After an exception the state of the process is unknown, so it exits with 1, and the next start takes over
 * its work.
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
