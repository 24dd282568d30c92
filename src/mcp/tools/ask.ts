import { z } from "zod";

import { AnswerFields } from "../../domain/output.ts";
import { IdempotencyKey, RequestFields } from "../../domain/task-input.ts";
import { isFinal } from "../../domain/task.ts";
import { defineTool } from "../tool.ts";
import { waitSeconds } from "../wait.ts";
import { requireProvider } from "./provider.ts";
import { describeTask, type Task, taskAfter } from "./standing.ts";

export const ask = defineTool({
  name: "ask",
  title: "Ask a model one thing",
  description:
    "Sends one prompt to a model and returns its answer. For many prompts of one kind use `run_batch`. Costs what " +
    "the model costs.",
  annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
  own: {
    prompt: z.string().describe("The prompt"),
    system: z.string().min(1).optional().describe("The system prompt"),
    isDryRun: z.boolean().default(false).describe("Let the simulator answer, at no cost"),
    idempotencyKey: IdempotencyKey.optional().describe(
      "A text of your own: the same call with the same key is made, and paid, once",
    ),
    waitSeconds: waitSeconds(30),
  },
  passed: {
    model: RequestFields.model,
    temperature: RequestFields.temperature,
    maxTokens: RequestFields.maxTokens,
    output: AnswerFields.output,
    cache: RequestFields.cache,
    parameters: RequestFields.parameters.describe(
      "Passed to the provider as they are, such as `top_p`",
    ),
  },
  async run({ own, passed }, world) {
    const { prompt, system, isDryRun, idempotencyKey, waitSeconds: seconds } = own;
    await requireProvider(world, isDryRun);
    const messages = [
      { role: "system", content: system },
      { role: "user", content: prompt },
    ];
    const task = await world.rest.call<Pick<Task, "id" | "status"> & Partial<Task>>("/tasks", {
      method: "POST",
      query: { execute: true, isDryRun },
      body: { ...passed, ...(system === undefined ? { prompt } : { messages }) },
      headers: {
        ...(seconds > 0 ? { prefer: `wait=${seconds}` } : {}),
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
      },
      isRepeatable: idempotencyKey !== undefined,
      signal: world.signal,
    });
    if (isFinal(task.status) && task.result !== undefined) return describeTask(task as Task);
    return taskAfter(world, task.id, 0);
  },
});
