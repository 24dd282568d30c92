import process from "node:process";

import { runProcess } from "./process.ts";

/** Longer than the longest `Prefer: wait`. */
const IDLE_TIMEOUT_SECONDS = 120;
/** The most HTTP requests that Bun makes at a time by default; it reads only at its own start whether it may make more. */
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
    // The app refuses larger bodies itself, with an answer that says so.
    maxRequestBodySize: Math.max(maxBodyBytes, maxFileBytes) * 2,
    idleTimeout: IDLE_TIMEOUT_SECONDS,
  });
  return { port: server.port ?? port, stop: (force) => server.stop(force) };
});
