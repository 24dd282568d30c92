/** A proxy between a node and its database that counts the traffic. */
export function countTraffic(target: string) {
  const counts = { requests: 0, statements: 0, sent: 0, received: 0 };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 120,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const body = request.method === "POST" ? await request.text() : undefined;
      const answer = await fetch(`${target}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        ...(body === undefined ? {} : { body }),
      });
      const text = await answer.text();
      counts.requests++;
      counts.statements += (body ?? "").split('"stmt":').length - 1;
      counts.sent += Buffer.byteLength(body ?? "");
      counts.received += Buffer.byteLength(text);
      return new Response(text, {
        status: answer.status,
        headers: { "content-type": "application/json" },
      });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    counts,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
}
