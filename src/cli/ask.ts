import process from "node:process";
import { text } from "node:stream/consumers";

import { newId } from "../lib/ids.ts";
import { createSystemRandom } from "../lib/random.ts";
import { failedWith, type Task } from "./client.ts";
import { actOn, commaList, serverCommand, type Tools, whole } from "./command.ts";
import type { Connection } from "./connect.ts";
import { CliError, EXIT, type Exit, usageError } from "./failure.ts";
import { pause } from "./interrupt.ts";
import type { AskOptions } from "./run/config.ts";

/** `gptrunner ask PROMPT`. */
export function askCommand() {
  return serverCommand("ask", "Ask one thing and print the answer")
    .argument("<prompt>", "the prompt; - reads it from standard input")
    .option("--system <text>", "the system prompt")
    .option("--model <name>", "the model")
    .option(
      "--columns <names>",
      "fields that the answer is to have, such as label,reason",
      commaList,
    )
    .option("--schema <file>", "a JSON Schema that the answer is to match")
    .option("--temperature <number>", "0 to 2", Number)
    .option("--max-tokens <n>", "the longest answer", whole(1))
    .option("--simulate", "let the built-in simulator answer, at no cost", false)
    .action((prompt, options) =>
      actOn(options, (connection, tools) => ask(connection, tools, prompt, options), {
        executes: true,
      }),
    );
}

type Options = Omit<AskOptions, "prompt" | "onlyIf" | "sheet" | "config"> & { simulate: boolean };

async function ask(
  connection: Connection,
  tools: Tools,
  given: string,
  options: Options,
): Promise<Exit> {
  const { requireProvider } = await import("./run/provider.ts");
  const { configOf } = await import("./run/config.ts");
  const { pauseOthers } = await import("./run/start.ts");
  const { systemPrompt, ...fields } = configOf(options);
  const prompt = given === "-" ? await text(process.stdin) : given;
  if (prompt.trim() === "") throw usageError("There is nothing to ask");
  await requireProvider(connection, options.simulate);
  await pauseOthers(connection, tools, null);
  await connection.start();
  const id = newId({ clock: tools.clock, random: createSystemRandom() }, "ask");
  const messages = [
    { role: "system", content: systemPrompt },
    { role: "user", content: prompt },
  ];
  try {
    const task = await untilEnded(connection, tools, {
      id,
      query: { execute: true, isDryRun: options.simulate },
      body: { id, ...fields, ...(systemPrompt === undefined ? { prompt } : { messages }) },
    });
    return await report(tools, task);
  } catch (error) {
    if (tools.interrupt.signal.aborted) await cancel(connection, id);
    throw error;
  }
}

/** Cancels the task of an interrupted command, unless it has just ended or was not created yet. */
async function cancel({ api }: Connection, id: string): Promise<void> {
  try {
    await api.call(`/tasks/${id}/cancel`, { method: "POST" });
  } catch (error) {
    if (!failedWith(error, "TASK_FINISHED", "TASK_NOT_FOUND")) throw error;
  }
}

const LOOK_EVERY_MS = 500;

async function untilEnded(
  { api }: Connection,
  { clock, interrupt }: Tools,
  { id, query, body }: { id: string; query: Record<string, boolean>; body: object },
): Promise<Task> {
  const { signal } = interrupt;
  let task = await api.call<Task>("/tasks", {
    method: "POST",
    query,
    body,
    // With its own id and idempotency key it is created once, however often it is sent.
    headers: { prefer: "wait=60", "idempotency-key": id },
    isRepeatable: true,
    signal,
  });
  while (!["completed", "failed", "cancelled"].includes(task.status)) {
    await pause(clock, LOOK_EVERY_MS, signal);
    task = await api.call<Task>(`/tasks/${id}`, { signal });
  }
  return task;
}

async function report({ terminal, json }: Tools, task: Task): Promise<Exit> {
  if (json) await terminal.out(`${JSON.stringify(task, null, 2)}\n`);
  const { result, error, status } = task;
  if (status !== "completed") {
    if (json) return EXIT.failed;
    const why = error ? `${error.code}: ${error.message}` : `The task is ${status}`;
    throw new CliError(EXIT.failed, why, { code: error?.code ?? "CANCELLED" });
  }
  if (json) return EXIT.done;
  const calls = result?.toolCalls ? JSON.stringify(result.toolCalls) : "";
  await terminal.out(`${result?.content ?? calls}\n`);
  return EXIT.done;
}
