import process from "node:process";

import { getLogger } from "@logtape/logtape";

import { banner } from "./banner.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { installLastResort } from "./last-resort.ts";
import { background } from "./lib/background.ts";
import { isLoggedElsewhere } from "./lib/logged-error.ts";
import { StartError } from "./lib/start-error.ts";
import { configureLogging, secretsOf } from "./logging.ts";
import { createRunner, type Runner } from "./runner.ts";

/** What this program needs of the runtime's HTTP server. */
export type ServeOptions = Pick<Config, "host" | "port" | "maxBodyBytes" | "maxFileBytes"> & {
  fetch: Runner["fetch"];
};
export type Server = {
  port: number;
  /** Accepts nothing more; with `force` ends what is still open. Resolves when nothing is. */
  stop(force: boolean): Promise<void>;
};

/**
 * The process: environment, runner, server, signals. Whatever keeps it from starting is reported in a
 * few words, and it exits with 1. The runtime provides the server, and says how many requests to
 * providers it makes at a time.
 */
export async function runProcess(
  mostRequests: number,
  serve: (options: ServeOptions) => Server,
): Promise<void> {
  const config = readConfigOrExit();
  await configureLogging(config, secretsOf(config));
  installLastResort();
  const log = getLogger(["gptrunner", "process"]);
  try {
    requireShared(config);
    const runner = await createRunner(config);
    const server = listen(serve, { ...config, fetch: runner.fetch });
    await runner.start();
    console.log(banner(config, server.port, { ...runner, mostRequests }));
    stopOnSignals(async () => {
      background(log, "Closing the port", server.stop(false));
      await runner.stop(config.shutdownGraceMs);
      await server.stop(true);
      await runner.close();
    });
  } catch (error) {
    if (error instanceof StartError) console.error(error.message);
    else log.fatal("The process could not start: {error}", { error });
    process.exit(1);
  }
}

function readConfigOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map((line) => `  ${line}`).join("\n");
    console.error(`The environment is not usable:\n${problems}`);
    process.exit(1);
  }
}

/** Throws where the work is to be divided among processes, and there can be but one. */
function requireShared({ role, databaseUrl }: Config): void {
  if (role !== "all" && databaseUrl.startsWith("file:"))
    throw new StartError(
      `ROLE=${role} needs a database that processes share: set DATABASE_URL to a libSQL server, or ROLE=all.`,
    );
}

function listen(serve: (options: ServeOptions) => Server, options: ServeOptions): Server {
  try {
    return serve(options);
  } catch (error) {
    const { host, port } = options;
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EADDRINUSE")
      throw new StartError(`Port ${port} on ${host} is in use; set PORT to another one.`);
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot listen on ${host}:${port}: ${why}`);
  }
}

/** `bun run` passes a Ctrl-C on that the terminal has sent to the whole group already. */
const SAME_SIGNAL_MS = 500;

/** SIGTERM or SIGINT stops the process in good order; a second one at once. */
function stopOnSignals(stop: () => Promise<void>): void {
  let stoppingSince: number | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      if (stoppingSince !== undefined) {
        if (performance.now() - stoppingSince > SAME_SIGNAL_MS) process.exit(1);
        return;
      }
      stoppingSince = performance.now();
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          // The log has a line about a database that is away; its work is taken over all the same.
          const why = isLoggedElsewhere(error) && error instanceof Error ? error.message : error;
          console.error("Could not stop in good order:", why);
          process.exit(1);
        },
      );
    });
}
