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
    await server.stop();
    await runner.stop(config.shutdownGraceMs);
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

/** SIGTERM or SIGINT stops the process in good order; a second one at once. */
function stopOnSignals(stop: () => Promise<void>): void {
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error("Could not stop in good order:", error);
          process.exit(1);
        },
      );
    });
}
