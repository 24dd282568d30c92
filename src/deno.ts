/// The entry for Deno: `deno run -A src/deno.ts`.

import { runProcess } from "./process.ts";

/** The part of Deno's API that is used here (https://docs.deno.com/api/deno/~/Deno.serve). */
declare const Deno: {
  serve(
    options: { hostname: string; port: number; onListen: () => void },
    handler: (
      request: Request,
      info: { remoteAddr: { hostname: string } },
    ) => Response | Promise<Response>,
  ): { addr: { port: number }; shutdown(): Promise<void> };
};

await runProcess(Infinity, ({ host, port, fetch }) => {
  const server = Deno.serve({ hostname: host, port, onListen: () => undefined }, (request, info) =>
    fetch(request, { address: () => info.remoteAddr.hostname }),
  );
  return {
    port: server.addr.port,
    // `shutdown` waits for open requests; requests that do not end are ended with the process.
    stop: (force) => (force ? Promise.resolve() : server.shutdown()),
  };
});
