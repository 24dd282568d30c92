import { getLogger } from "@logtape/logtape";
import { ProtocolError, ProtocolErrorCode, Server } from "@modelcontextprotocol/server";

import packageJson from "../../package.json" with { type: "json" };
import { AppError } from "../errors.ts";
import { furtherIssues } from "../lib/further-issues.ts";
import { logError } from "../lib/logged-error.ts";
import { Refusal } from "./rest.ts";
import type { Tool, World } from "./tool.ts";

const log = getLogger(["gptrunner", "mcp"]);

const INSTRUCTIONS =
  "GPT Task Runner sends prompts to language models in bulk: each row of a table becomes a prompt, and its answer a row " +
  "of results. `ask` is for one prompt. For many: `run_batch` (with `start: false` and `estimate` first, where money " +
  "matters), `status` until it has ended, `results` page by page, `retry` for what failed. Everything is stored on " +
  "the server: `status` without an id finds earlier batches.";

/** Far above any tool's normal answer, so that a bug cannot flood a client. */
const MOST_ANSWER_CHARACTERS = 200_000;

export type ServerOptions = {
  tools: ReadonlyMap<string, Tool>;
  /** Creates the environment of a call; `signal` aborts if the client disconnects or gives up. */
  worldFor: (signal: AbortSignal) => World;
};

/**
 * A server of the Model Context Protocol for one client, or one request. An error in a tool is returned as a result
 * for the model, with the API's message, and not as an error of the protocol, so that the model can react.
 */
export function createMcpServer({ tools, worldFor }: ServerOptions): Server {
  const server = new Server(
    { name: packageJson.name, title: "GPT Task Runner", version: packageJson.version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );
  const listed = [...tools.values()].map(({ run: _run, ...about }) => about);
  server.setRequestHandler("tools/list", () => ({ tools: listed }));
  server.setRequestHandler("tools/call", async ({ params }, { mcpReq }) => {
    const tool = tools.get(params.name);
    if (!tool)
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `There is no tool ${params.name}; there are ${[...tools.keys()].join(", ")}`,
      );
    const world = worldFor(mcpReq.signal);
    try {
      return textOf(await tool.run(params.arguments ?? {}, world));
    } catch (error) {
      return { ...textOf(explain(tool, error, world.signal)), isError: true };
    }
  });
  return server;
}

function textOf(answer: object | string) {
  const text = typeof answer === "string" ? answer : JSON.stringify(answer);
  const isLong = text.length > MOST_ANSWER_CHARACTERS;
  return {
    content: [
      {
        type: "text" as const,
        text: isLong
          ? `The answer has ${text.length} characters, which is more than a tool may give; ask for less`
          : text,
      },
    ],
  };
}

/** The text for the model: the API's code and message, and further issues. */
function explain({ name }: Tool, error: unknown, { aborted, reason }: AbortSignal): string {
  const isGivenUp = error instanceof Error && error.name === "AbortError";
  // A client that leaves aborts its calls for a reason of its own, which is not a fault.
  if (isGivenUp || (aborted && error === reason)) return "The call was given up";
  if (error instanceof Refusal || error instanceof AppError) {
    const { code, message, details } = error;
    return [`${code}: ${message}`, ...furtherIssues(details)].join("\n");
  }
  logError(log, "Tool {tool} failed: {error}", { tool: name, error });
  return "INTERNAL_ERROR: Something went wrong in the server; its log has more";
}
