import { actOn, serverCommand, type Tools } from "./command.ts";
import type { Connection } from "./connect.ts";
import { CliError, EXIT, type Exit } from "./failure.ts";

/**
 * Clients usually end a call after a minute, so this waits less long for an unreachable server than other commands.
 */
const PATIENCE_SECONDS = 20;

/** `gptrunner mcp`. */
export function mcpCommand() {
  return serverCommand(
    "mcp",
    "Offer tools to an agent (Model Context Protocol, over stdio)",
  ).action((options) =>
    actOn({ ...options, patience: options.patience ?? PATIENCE_SECONDS }, offer, {
      executes: true,
    }),
  );
}

/** Answers the client on standard output until it closes standard input. */
async function offer(connection: Connection, tools: Tools): Promise<Exit> {
  const { serveTools } = await import("../mcp/stdio.ts");
  const { Refusal } = await import("../mcp/rest.ts");
  const { pauseOthers } = await import("./run/start.ts");
  const { api } = connection;
  await pauseOthers(connection, tools, null);
  await connection.start();

  async function explained<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      throw new Refusal(error.code, error.message, error.details);
    }
  }

  let known: Awaited<ReturnType<Connection["provider"]>> | undefined;
  await serveTools({
    provider: async () => (known ??= await explained(connection.provider())),
    clock: tools.clock,
    rest: {
      call: (path, options) => explained(api.call(path, options)),
      open: (path, options) => explained(api.open(path, options)),
    },
    local: {
      upload: (path, signal) => explained(uploadFrom(connection, path, signal)),
      save: (id, path, signal) => explained(saveTo(connection, tools, id, { path, signal })),
    },
    ending: tools.interrupt.signal,
  });
  return tools.interrupt.signal.aborted ? tools.interrupt.exit() : EXIT.done;
}

async function uploadFrom({ api }: Connection, path: string, signal: AbortSignal): Promise<string> {
  const { uploadFile } = await import("./files.ts");
  return (await uploadFile(api, path, signal)).id;
}

async function saveTo(
  connection: Connection,
  { terminal, clock }: Tools,
  id: string,
  { path, signal }: { path: string; signal: AbortSignal },
): Promise<void> {
  const { outOf, requireRoom, writeResults } = await import("./run/results.ts");
  const out = outOf(path, false);
  // The standard output belongs to the protocol.
  if (out.path === null) throw new CliError(EXIT.usage, "saveTo must be the name of a file");
  requireRoom(out);
  await writeResults(connection, { terminal, clock, signal }, id, { out });
}
