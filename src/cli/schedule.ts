import { basename, resolve } from "node:path";

import type { z } from "zod";

import type { RunBody, ScheduleBody } from "../http/api/schedule-body.ts";
import { systemFiles } from "../lib/file-system.ts";
import { actOn, amount, group, commaList, print, serverCommand, whole } from "./command.ts";
import type { Connection } from "./connect.ts";
import { usageError } from "./failure.ts";
import { table } from "./format.ts";

type Schedule = z.infer<typeof ScheduleBody>;
type Run = z.infer<typeof RunBody>;

/** `gptrunner schedule …`. */
export function scheduleCommand() {
  return group("schedule", "Run files at the times that a cron expression names")
    .addCommand(listCommand())
    .addCommand(addCommand())
    .addCommand(actionCommand("enable", "Let a schedule fire again"))
    .addCommand(actionCommand("disable", "Let a schedule fire no more"))
    .addCommand(runCommand())
    .addCommand(runsCommand())
    .addCommand(removeCommand());
}

function pathOf(id: string): string {
  return `/scheduled-tasks/${encodeURIComponent(id)}`;
}

function listCommand() {
  return serverCommand("ls", "List schedules")
    .option("--limit <n>", "how many (50)", whole(1))
    .action((options) =>
      actOn(options, async ({ api }, tools) => {
        const query = { limit: options.limit ?? 50 };
        const { tasks } = await api.call<{ tasks: Schedule[] }>("/scheduled-tasks", { query });
        await print(tools, tasks, (all) =>
          table(
            ["ID", "SCHEDULE", "ZONE", "ACTIVE", "LAST", "NEXT", "NAME"],
            all.map((one) => [
              one.id,
              one.schedule,
              one.timezone,
              one.isActive ? "yes" : "no",
              one.lastRunStatus,
              one.isActive ? (one.nextRuns[0] ?? null) : null,
              one.name,
            ]),
          ),
        );
      }),
    );
}

function addCommand() {
  return serverCommand("add", "Make a schedule, and print its id")
    .argument("<name>", "what it is called")
    .requiredOption("--cron <expression>", "when: '0 9 * * MON-FRI', or @daily")
    .option("--timezone <zone>", "in which time zone (UTC)")
    .option("--input <path>", "a path in the server's files folder, read again for each run")
    .option("--upload <file>", "instead: a file of this machine, as it is now")
    .option("--output <path>", "where results go in that folder: reports/{{date}}.csv")
    .option("--prompt <text>", "the prompt of each row; {{column}} stands for its cell")
    .option("--system <text>", "the system prompt")
    .option("--model <name>", "the model of rows that name none")
    .option("--columns <names>", "columns that answers are to have", commaList)
    .option("--schema <file>", "a JSON Schema that answers are to match")
    .option("--config <file>", "JSON with further fields of `config`")
    .option("--max-cost <usd>", "of one run", amount)
    .option("--simulate", "let the simulator answer, at no cost", false)
    .action((name, options) =>
      actOn(options, async (connection, tools) => {
        const { configOf } = await import("./run/config.ts");
        const { maxCost } = options;
        const config = {
          ...configOf(options),
          ...(maxCost === undefined ? {} : { maxCostUsd: maxCost }),
        };
        const body = {
          name,
          schedule: options.cron,
          timezone: options.timezone,
          inputFile: await inputOf(connection, options),
          outputFile: options.output,
          isDryRun: options.simulate,
          config,
        };
        const path = "/scheduled-tasks";
        const made = await connection.api.call<Schedule>(path, { method: "POST", body });
        if (connection.isEmbedded)
          tools.terminal.say(
            `It fires while a server runs in this folder: serve --dir ${connection.where}`,
          );
        await print(tools, made, ({ id }) => id);
      }),
    );
}

async function inputOf(
  { api }: Connection,
  { input, upload }: { input?: string | undefined; upload?: string | undefined },
): Promise<string> {
  if (input !== undefined && upload === undefined) return input;
  if (upload === undefined || input !== undefined)
    throw usageError("Give either --input or --upload");
  const blob = await systemFiles.blob(resolve(upload)).catch(() => {
    throw usageError(`There is no file ${upload}`);
  });
  const form = new FormData();
  form.set("file", blob, basename(upload));
  return (await api.call<{ id: string }>("/files", { method: "POST", body: form })).id;
}

function actionCommand(action: "enable" | "disable", description: string) {
  return serverCommand(action, description)
    .argument("<id>", "the schedule")
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        const made = await api.call<Schedule>(`${pathOf(id)}/${action}`, { method: "POST" });
        await print(tools, made, ({ isActive }) => `${id} is ${isActive ? "active" : "disabled"}`);
      }),
    );
}

function runCommand() {
  return serverCommand("run", "Run a schedule now")
    .argument("<id>", "the schedule")
    .action((id, options) =>
      actOn(options, async ({ api, isEmbedded, where }, tools) => {
        if (isEmbedded)
          throw usageError(`Schedules run while a server does: start serve --dir ${where}`);
        const made = await api.call<Run>(`${pathOf(id)}/run`, { method: "POST" });
        await print(tools, made, (run) => run.id);
      }),
    );
}

function runsCommand() {
  return serverCommand("runs", "List the runs of a schedule, the latest first")
    .argument("<id>", "the schedule")
    .option("--limit <n>", "how many (20)", whole(1))
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        const query = { limit: options.limit ?? 20 };
        const { runs } = await api.call<{ runs: Run[] }>(`${pathOf(id)}/runs`, { query });
        await print(tools, runs, (all) =>
          table(
            ["ID", "STATUS", "DUE", "BATCH", "REASON"],
            all.map((run) => [run.id, run.status, run.scheduledAt, run.batchId, run.reason]),
          ),
        );
      }),
    );
}

function removeCommand() {
  return serverCommand("rm", "Delete a schedule; batches of its runs stay")
    .argument("<id>", "the schedule")
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        await api.call(pathOf(id), { method: "DELETE" });
        await print(tools, { id, deleted: true }, () => `${id} is gone`);
      }),
    );
}
