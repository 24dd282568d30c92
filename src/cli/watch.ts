import { EventSourceParserStream } from "eventsource-parser/stream";

import type { Json } from "../lib/json.ts";
import { parseJson } from "../lib/json.ts";
import { actOn, serverCommand, type Tools } from "./command.ts";
import type { Connection } from "./connect.ts";
import { CliError, EXIT, type Exit, usageError } from "./failure.ts";
import { pause } from "./interrupt.ts";
import { plain } from "./terminal.ts";

/** `gptrunner watch [BATCH]`. */
export function watchCommand() {
  return serverCommand(
    "watch",
    "Follow a batch of a server to its end, or everything that happens there",
  )
    .argument("[batch]", "the batch; without it, events are printed as they come")
    .option("--types <types>", "of events: batch.*,task.failed")
    .action((batch, options) =>
      actOn(options, (connection, tools) => {
        if (connection.isEmbedded)
          throw usageError(
            "Nothing happens in a folder while no command runs there: name a server with --server or --profile",
          );
        return batch === undefined
          ? watchEvents(connection, tools, options.types)
          : watchBatch(connection, tools, batch);
      }),
    );
}

/** Only watches: an interrupt ends the watching, and the batch continues. */
async function watchBatch(connection: Connection, tools: Tools, id: string): Promise<Exit> {
  const { follow } = await import("./run/follow.ts");
  const { describeSummary, summarize } = await import("./run/summary.ts");
  const { isInterrupted, ...batch } = await follow(
    connection,
    { ...tools, trouble: () => null },
    id,
    null,
  );
  if (isInterrupted) return tools.interrupt.exit();
  const summary = await summarize(connection, batch, null);
  if (tools.json) await tools.terminal.out(`${JSON.stringify(summary, null, 2)}\n`);
  else tools.terminal.say(describeSummary(summary));
  if (batch.status === "paused" || batch.status === "cancelled") return EXIT.unfinished;
  return batch.progress.failed > 0 ? EXIT.rowsFailed : EXIT.done;
}

const RECONNECT_MS = 1000;

/** Prints every event once, through restarts of the server, too. */
async function watchEvents(
  { api }: Connection,
  tools: Tools,
  types: string | undefined,
): Promise<Exit> {
  const { signal } = tools.interrupt;
  let last: string | undefined;
  while (!signal.aborted) {
    const headers: Record<string, string> = last === undefined ? {} : { "last-event-id": last };
    try {
      const { body } = await api.open("/events", { query: { types }, headers, signal });
      const events = (body ?? new Blob([]).stream())
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
      for await (const { id, event, data } of events) {
        last = id ?? last;
        await report(tools, event ?? "message", parseJson(data) ?? null);
      }
    } catch (error) {
      if (signal.aborted) break;
      // A broken stream is opened again, but a refusal of the server is final.
      if (error instanceof CliError) throw error;
    }
    await pause(tools.clock, RECONNECT_MS, signal);
  }
  return tools.interrupt.exit();
}

type Reported = { timestamp?: string; data?: Record<string, Json> };

async function report({ terminal, json }: Tools, event: string, data: Json): Promise<void> {
  if (json) return terminal.out(`${JSON.stringify(data)}\n`);
  const { timestamp = "", data: facts = {} } = (data ?? {}) as Reported;
  const words = Object.entries(facts).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  await terminal.out(`${timestamp.slice(11, 19)} ${event.padEnd(18)} ${plain(words.join(" "))}\n`);
}
