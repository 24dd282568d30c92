import process from "node:process";

import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";

import { createMcpServer } from "./server.ts";
import type { World } from "./tool.ts";
import { toolsFor } from "./tools.ts";

/** The longest message; the transport closes on a longer one. */
const MOST_MESSAGE_BYTES = 32 * 1024 * 1024;

type Options = Omit<World, "signal"> & {
  /** Aborts when the process is to end. */
  ending: AbortSignal;
};

/** Serves the client at standard input and output. Resolves when it disconnects, or `ending` aborts. */
export async function serveTools({ ending, ...world }: Options): Promise<void> {
  const tools = toolsFor({ isLocal: true });
  const transport = new StdioServerTransport(undefined, undefined, {
    maxBufferSize: MOST_MESSAGE_BYTES,
  });
  const gone = Promise.withResolvers<void>();
  const left = new AbortController();
  const worldFor = (signal: AbortSignal) => ({
    ...world,
    signal: AbortSignal.any([signal, left.signal, ending]),
  });
  const handle = serveStdio(() => createMcpServer({ tools, worldFor }), {
    transport,
    // There is nothing that a client could subscribe to.
    maxSubscriptions: 0,
    onerror: ({ message }) => process.stderr.write(`${message}\n`),
  });
  const { onclose } = transport;
  transport.onclose = () => {
    onclose?.();
    left.abort();
    gone.resolve();
  };
  const end = () => gone.resolve();
  ending.addEventListener("abort", end, { once: true });
  if (ending.aborted) end();
  await gone.promise;
  await handle.close();
}
