import type { Tool } from "./tool.ts";
import { ask } from "./tools/ask.ts";
import { control, estimate, retry, status } from "./tools/batches.ts";
import { models } from "./tools/models.ts";
import { results } from "./tools/results.ts";
import { runBatch } from "./tools/run-batch.ts";
import { createSchedule, listSchedules, runSchedule } from "./tools/schedules.ts";

/** All tools; with `isLocal`, tools can also read files of the user's machine. */
export function toolsFor({ isLocal }: { isLocal: boolean }): ReadonlyMap<string, Tool> {
  const tools = [
    ask,
    runBatch(isLocal),
    status,
    results(isLocal),
    estimate,
    retry,
    control,
    models,
    listSchedules,
    createSchedule,
    runSchedule,
  ];
  return new Map(tools.map((tool) => [tool.name, tool]));
}
