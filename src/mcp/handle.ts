import { getLogger } from "@logtape/logtape";
import { createMcpHandler } from "@modelcontextprotocol/server";

import { createMcpServer } from "./server.ts";
import type { World } from "./tool.ts";
import { toolsFor } from "./tools.ts";

const log = getLogger(["gptrunner", "mcp"]);

const tools = toolsFor({ isLocal: false });

/** A client of the 2025 protocol gets a stream; only sending shows that it has disconnected. */
const KEEP_ALIVE_MS = 1000;

/**
 * Answers one message over HTTP (https://modelcontextprotocol.io/specification, Streamable HTTP). There are no
 * sessions: each message has its own server object, so any process can answer it and nothing is stored in between.
 * Both the current protocol and that of 2025 are supported.
 */
export function handleMcp(
  request: Request,
  { body, ...world }: { body: unknown } & Omit<World, "signal" | "local">,
): Promise<Response> {
  const worldFor = (signal: AbortSignal) => ({
    ...world,
    signal: AbortSignal.any([signal, request.signal]),
    local: null,
  });
  const { fetch } = createMcpHandler(() => createMcpServer({ tools, worldFor }), {
    // There is nothing that a client could subscribe to.
    maxSubscriptions: 0,
    keepAliveMs: KEEP_ALIVE_MS,
    onerror: (error) => log.debug("A message was refused: {error}", { error }),
  });
  return fetch(request, { parsedBody: body });
}
