import type { Batch, BatchSummary, Query } from "./client.ts";
import { actOn, group, print, serverCommand, type Tools, whole } from "./command.ts";
import type { Connection } from "./connect.ts";
import { EXIT, type Exit } from "./failure.ts";
import { dollars, shellLine, table } from "./format.ts";

/** `gptrunner batch …`. */
export function batchCommand() {
  return group("batch", "Show batches, and pause, resume, cancel or retry them")
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(actionCommand("pause", "Start no more rows of a batch; calls in flight finish"))
    .addCommand(resumeCommand())
    .addCommand(actionCommand("cancel", "End a batch; results so far stay"))
    .addCommand(retryCommand())
    .addCommand(resultsCommand())
    .addCommand(removeCommand());
}

function listCommand() {
  return serverCommand("ls", "List batches, the latest first")
    .option("--status <status>", "pending, running, paused, completed, failed or cancelled")
    .option("--limit <n>", "how many (20)", whole(1))
    .action((options) =>
      actOn(options, async ({ api }, tools) => {
        const query: Query = { status: options.status, limit: options.limit ?? 20 };
        const page = await api.call<{ batches: BatchSummary[] }>("/batches", { query });
        await print(tools, page.batches, describeList);
      }),
    );
}

function describeList(batches: BatchSummary[]): string {
  if (batches.length === 0) return "There are no batches";
  return table(
    ["ID", "STATUS", "DONE", "FAILED", "COST", "CREATED", "NAME"],
    batches.map((one) => [
      one.id,
      one.isDryRun ? `${one.status} (simulated)` : one.status,
      `${one.progress.completed}/${one.progress.total}`,
      one.progress.failed,
      one.costUsd === null ? "?" : dollars(one.costUsd),
      one.createdAt.slice(0, 16).replace("T", " "),
      one.name,
    ]),
  );
}

function showCommand() {
  return serverCommand("show", "Show how a batch stands")
    .argument("<id>", "the batch")
    .action((id, options) =>
      actOn(options, async (connection, tools) => {
        const { getBatch } = await import("./run/follow.ts");
        const { describeSummary, summarize } = await import("./run/summary.ts");
        const batch = await getBatch(connection, id);
        if (tools.json) return print(tools, batch, String);
        const summary = describeSummary(await summarize(connection, batch, null));
        const why = batch.pauseReason ? `\n  Paused   ${batch.pauseReason.message}` : "";
        return print(tools, batch, () => `${summary}\n  Status   ${batch.status}${why}`);
      }),
    );
}

function actionCommand(action: "pause" | "cancel", description: string) {
  return serverCommand(action, description)
    .argument("<id>", "the batch")
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        const path = `/batches/${encodeURIComponent(id)}/${action}`;
        const batch = await api.call<BatchSummary>(path, { method: "POST" });
        await print(tools, batch, ({ status }) => `${id} is ${status}`);
      }),
    );
}

/** A command that runs a batch and follows it to its end. */
function runningCommand(name: string, description: string) {
  return serverCommand(name, description)
    .argument("<id>", "the batch")
    .option("--out <file>", "write the results there at the end (.csv, .xlsx, .jsonl, .json, or -)")
    .option("--force", "replace that file", false);
}

function resumeCommand() {
  return runningCommand("resume", "Resume a paused or interrupted batch until its end").action(
    (id, options) =>
      actOn(
        options,
        async (connection, tools) => {
          const { startBatch } = await import("./run/start.ts");
          return goOn(connection, tools, { id, action: "resume", ...options }, (batch) =>
            startBatch(connection, batch, batch.isDryRun),
          );
        },
        { executes: true },
      ),
  );
}

function retryCommand() {
  return runningCommand("retry", "Run what failed of a batch again, to its end")
    .option("--cancelled", "what was cancelled, too", false)
    .action((id, options) =>
      actOn(
        options,
        (connection, tools) =>
          goOn(connection, tools, { id, action: "retry", ...options }, () =>
            connection.api.call(`/batches/${encodeURIComponent(id)}/retry`, {
              method: "POST",
              body: { statuses: options.cancelled ? ["failed", "cancelled"] : ["failed"] },
            }),
          ),
        { executes: true },
      ),
    );
}

type GoOn = { id: string; action: string; out?: string | undefined; force: boolean };

async function goOn(
  connection: Connection,
  tools: Tools,
  { id, action, out: name, force }: GoOn,
  begin: (batch: Batch) => Promise<unknown>,
): Promise<Exit> {
  const { getBatch } = await import("./run/follow.ts");
  const { outOf, requireRoom } = await import("./run/results.ts");
  const { requireProvider } = await import("./run/provider.ts");
  const { pauseOthers } = await import("./run/start.ts");
  const { carryOut } = await import("./run/carry-out.ts");
  const out = name === undefined ? null : outOf(name, force);
  if (out) requireRoom(out);
  const batch = await getBatch(connection, id);
  await requireProvider(connection, batch.isDryRun);
  await pauseOthers(connection, tools, id);
  await begin(batch);
  await connection.start();
  const outFlags = name === undefined ? [] : ["--out", name, ...(force ? ["--force"] : [])];
  const verb = action === "retry" ? "resume" : action;
  const again = shellLine(["batch", verb, id, ...connection.flags, ...outFlags]);
  return carryOut(connection, tools, id, { out, again });
}

function resultsCommand() {
  return serverCommand("results", "Write the results of a batch as they are now")
    .argument("<id>", "the batch")
    .option("--out <file>", "where to (.csv, .xlsx, .jsonl, .json); - is the standard output (-)")
    .option("--format <format>", "for the standard output: csv, xlsx, jsonl or json")
    .option("--force", "replace that file", false)
    .option("--status <status>", "of these rows only: completed, failed, cancelled or pending")
    .action((id, options) =>
      actOn(options, async (connection, { terminal, clock, json, interrupt }) => {
        const { outOf, writeResults } = await import("./run/results.ts");
        const format = options.format ?? (json ? "json" : "csv");
        const out = outOf(options.out ?? "-", options.force, format);
        const query = { status: options.status };
        const { signal } = interrupt;
        await writeResults(connection, { terminal, clock, signal }, id, { out, query });
        if (out.path !== null) terminal.say(`${out.name} is written`);
        return EXIT.done;
      }),
    );
}

function removeCommand() {
  return serverCommand("rm", "Delete a batch with its answers")
    .argument("<id>", "the batch")
    .option("--force", "though it runs; it is cancelled first", false)
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        const query = { force: options.force };
        await api.call(`/batches/${encodeURIComponent(id)}`, { method: "DELETE", query });
        await print(tools, { id, deleted: true }, () => `${id} is gone`);
      }),
    );
}
