import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { orCrash } from "../../src/lib/background.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import type { Json } from "./server.ts";

export type Received = { headers: Record<string, string>; raw: string; body: Json };

/** A webhook endpoint that keeps every request, and answers 204 unless `behave` answers. */
export async function startReceiver(
  behave: (received: Received, response: ServerResponse) => unknown = () => undefined,
) {
  const received: Received[] = [];
  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks).toString();
    const one = { headers: request.headers as Record<string, string>, raw, body: JSON.parse(raw) };
    received.push(one);
    await behave(one, response);
    if (!response.headersSent) response.writeHead(204).end();
  }
  const server = createServer((request, response) =>
    orCrash(createSystemClock(), take(request, response)),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}/hook`,
    /** The variables with which the courier may post to it. */
    env: { WEBHOOK_ALLOWED_HOSTS: "127.0.0.1" },
    received,
    types: () => received.map(({ body }) => body.type as string),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
