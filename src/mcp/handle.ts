import { getLogger } from "@logtape/logtape";
import { createMcpHandler } from "@modelcontextprotocol/server";

import { createMcpServer } from "./server.ts";
import type { World } from "./tool.ts";
import { toolsFor } from "./tools.ts";

const log = getLogger(["gptrunner", "mcp"]);

const tools = toolsFor({ isLocal: false });

/** That a client of 2025 has left, whose answer is a stream, shows when something is sent to it. */
const KEEP_ALIVE_MS = 1000;

/**
 * Answers one message that came over HTTP (https://modelcontextprotocol.io/specification, Streamable HTTP). No session
 * is kept: each message has a server of its own, so that any process can answer it and nothing is held between two.
 * Both the present protocol and that of 2025 are spoken.
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
    // Nothing that a client could subscribe to ever changes.
    maxSubscriptions: 0,
    keepAliveMs: KEEP_ALIVE_MS,
    onerror: (error) => log.debug("A message was refused: {error}", { error }),
  });
  return fetch(request, { parsedBody: body });
}
