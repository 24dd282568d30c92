import process from "node:process";
import { inspect } from "node:util";

import { getLogger } from "@logtape/logtape";

import { type Announcer, forPeople, forPrograms } from "./announcer.ts";
import { startedFacts } from "./banner.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { installLastResort } from "./last-resort.ts";
import { background } from "./lib/background.ts";
import { endsWithin } from "./lib/clock.ts";
import { isLoggedElsewhere } from "./lib/logged-error.ts";
import { StartError } from "./lib/start-error.ts";
import { configureLogging, secretsOf } from "./logging.ts";
import { createRunner, type Runner } from "./runner.ts";

/** The interface to the runtime's HTTP server. */
export type ServeOptions = Pick<Config, "host" | "port" | "maxBodyBytes" | "maxFileBytes"> & {
  fetch: Runner["fetch"];
};
export type Server = {
  port: number;
  /** Accepts no more connections; with `force` closes the open ones. Resolves when none is open. */
  stop(force: boolean): Promise<void>;
};

/** Requests that are open when all parts have stopped get this time to be answered. */
const LAST_ANSWERS_MS = 1000;

const USAGE = `Starts the server. Its settings are environment variables, which .env.example and docs/configuration.md describe.
  --json  announce the start and the end as lines of JSON (docs/command-line.md)`;

/**
 * The process: environment, runner, server, signals. If it cannot start, it reports why in a few words and exits with
 * 1. The runtime provides the server, and the most requests to providers at a time. Its
 * arguments are those of `USAGE`.
 */
export async function runProcess(
  mostRequests: number,
  serve: (options: ServeOptions) => Server,
): Promise<void> {
  if (process.argv.includes("--help")) {
    console.log(USAGE);
    process.exit(0);
  }
  const isJson = process.argv.includes("--json");
  const announcer = isJson ? forPrograms : forPeople;
  const config = readConfigOrExit(announcer);
  // With `--json` the standard output belongs to the announcements.
  await configureLogging(config, secretsOf(config), { onlyStderr: isJson });
  installLastResort();
  const log = getLogger(["gptrunner", "process"]);
  try {
    requireShared(config);
    const runner = await createRunner(config);
    const server = listen(serve, { ...config, fetch: runner.fetch });
    await runner.start();
    // Before the announcement: whoever reads it may send a signal at once.
    stopOnSignals(announcer, async () => {
      const closed = server.stop(false);
      background(log, "Closing the port", closed);
      await runner.stop(config.shutdownGraceMs);
      await endsWithin(runner.ctx.clock, closed, LAST_ANSWERS_MS);
      await server.stop(true);
      await runner.close();
    });
    announcer.listening(startedFacts(config, server.port, { ...runner, mostRequests }));
  } catch (error) {
    if (error instanceof StartError) announcer.failed(error.message);
    else {
      log.fatal("The process could not start: {error}", { error });
      if (isJson) announcer.failed("The process could not start; the log says why");
    }
    process.exit(1);
  }
}

function readConfigOrExit(announcer: Announcer): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    announcer.failed("The environment is not usable", error.problems);
    process.exit(1);
  }
}

/** Throws if ROLE divides the work among processes, but the database allows only one. */
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

/**
 * A second signal within this time is ignored: the terminal sends Ctrl-C to the whole process group, and `bun run`
 * passes it on once more.
 */
const SAME_SIGNAL_MS = 500;

/** SIGTERM or SIGINT shuts the process down; a second one ends it at once. */
function stopOnSignals(announcer: Announcer, stop: () => Promise<void>): void {
  let stoppingSince: number | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      if (stoppingSince !== undefined) {
        if (performance.now() - stoppingSince > SAME_SIGNAL_MS) process.exit(1);
        return;
      }
      stoppingSince = performance.now();
      announcer.stopping(signal);
      stop().then(
        () => {
          announcer.stopped();
          process.exit(0);
        },
        (error: unknown) => {
          // The log already has a line about an unreachable database; other nodes take over the work in any case.
          const why = isLoggedElsewhere(error) && error instanceof Error ? error.message : error;
          const text = typeof why === "string" ? why : inspect(why);
          announcer.failed(`Could not stop in good order: ${text}`);
          process.exit(1);
        },
      );
    });
}
