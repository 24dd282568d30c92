import {
  Client,
  type Transport,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";

import { type Json, KEY } from "./server.ts";

export type Era = "2025" | "present";

/** The official client, with the handshake of 2025 or with the current protocol. */
export async function connectMcp(transport: Transport, era: Era = "present") {
  const client = new Client(
    { name: "test", version: "1" },
    { versionNegotiation: { mode: era === "2025" ? "legacy" : { pin: "2026-07-28" } } },
  );
  await client.connect(transport);
  return {
    client,
    /** A tool's result: its text, and that text parsed as JSON. */
    async call(name: string, args: Json = {}, signal?: AbortSignal) {
      const { content, isError = false } = await client.callTool(
        { name, arguments: args },
        signal ? { signal } : {},
      );
      const [first] = content;
      const text = first?.type === "text" ? first.text : "";
      return { isError, text, data: (isError ? undefined : JSON.parse(text)) as Json };
    },
    async [Symbol.asyncDispose]() {
      await client.close();
    },
  };
}

/** A client of `/mcp`. */
export function connectHttp(url: string, { key = KEY, era }: { key?: string; era?: Era } = {}) {
  const headers = { authorization: `Bearer ${key}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers },
  });
  return connectMcp(transport, era);
}

/** A message, as a program without an MCP library sends it. */
export function sendMcp(
  url: string,
  message: unknown,
  {
    key = KEY,
    headers = {},
    signal = null,
  }: { key?: string; headers?: Record<string, string>; signal?: AbortSignal | null } = {},
): Promise<Response> {
  return fetch(`${url}/mcp`, {
    method: "POST",
    signal,
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
    body: typeof message === "string" ? message : JSON.stringify(message),
  });
}

export const callOf = (name: string, args: object = {}, id = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args },
});
