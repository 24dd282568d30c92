import process from "node:process";

import { runProcess } from "./process.ts";

/** Longer than the longest `Prefer: wait`. */
const IDLE_TIMEOUT_SECONDS = 120;
/**
 * The most HTTP requests that Bun makes at a time. Bun reads the variable only at its own start; 256 is its default.
 */
const mostRequests = Number(process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"] ?? 256);

await runProcess(mostRequests, ({ host, port, maxBodyBytes, maxFileBytes, fetch }) => {
  const server = Bun.serve({
    hostname: host,
    port,
    fetch: (request, server) =>
      fetch(request, {
        address: () => server.requestIP(request)?.address,
        stayOpen: () => server.timeout(request, 0),
      }),
    // The limit is higher than the app's own, so that the app refuses large bodies with a documented answer.
    maxRequestBodySize: Math.max(maxBodyBytes, maxFileBytes) * 2,
    idleTimeout: IDLE_TIMEOUT_SECONDS,
    // Otherwise Bun prints errors of streams between the lines of the log.
    development: false,
  });
  return { port: server.port ?? port, stop: (force) => server.stop(force) };
});
