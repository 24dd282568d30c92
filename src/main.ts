import { banner } from "./banner.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { StartError } from "./lib/start-error.ts";
import { configureLogging } from "./logging.ts";
import { createRunner } from "./runner.ts";

const config = readConfigOrExit();
await configureLogging(config);
try {
  const runner = await createRunner(config);
  const server = serve(config, runner.fetch);
  await runner.start();
  console.log(banner(config, server.port ?? config.port, runner.firstKey));
  stopOnSignals(async () => {
    void server.stop();
    await runner.stop(config.shutdownGraceMs);
    await server.stop(true);
    await runner.close();
  });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exit(1);
}

function readConfigOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(
      `The environment is not usable:\n${error.problems.map((line) => `  ${line}`).join("\n")}`,
    );
    process.exit(1);
  }
}

function serve(
  { host, port, maxBodyBytes }: Config,
  fetch: (request: Request) => Response | Promise<Response>,
) {
  try {
    return Bun.serve({
      hostname: host,
      port,
      fetch,
      // The app refuses larger bodies itself, with an answer that says so.
      maxRequestBodySize: maxBodyBytes * 2,
      idleTimeout: 120,
    });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE")
      throw new StartError(`Port ${port} on ${host} is in use; set PORT to another one.`);
    throw new StartError(`Cannot listen on ${host}:${port}: ${String(error)}`);
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
          console.error("Could not stop in good order:", error);
          process.exit(1);
        },
      );
    });
}
