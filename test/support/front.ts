import type { TestServer } from "./server.ts";

type Answer = Response | Promise<Response> | undefined;

/** A proxy in front of a server. It can be down, slow its clients down, or answer like something else. */
export function startFront(answer: (request: Request) => Answer) {
  const front = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => answer(request) ?? new Response("gone", { status: 502 }),
  });
  return {
    url: `http://127.0.0.1:${front.port}`,
    [Symbol.asyncDispose]: () => front.stop(true),
  };
}

/** The answer of the server itself. */
export function passOn({ runner }: TestServer, request: Request): Response | Promise<Response> {
  return runner.fetch(request, { address: () => "127.0.0.1" });
}
