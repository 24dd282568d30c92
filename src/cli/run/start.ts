import { type Batch, type BatchSummary, failedWith, pagesOf, type Task } from "../client.ts";
import type { Tools } from "../command.ts";
import type { Connection } from "../connect.ts";
import { pause } from "../interrupt.ts";
import { triedOf } from "./bar.ts";
import { getBatch } from "./follow.ts";

export type Caps = { maxCostUsd: number | undefined; maxConcurrency: number | undefined };

/**
 * Pauses the batches that earlier commands have left running in the folder. They would continue as soon as a server
 * starts there, which the user has not requested now.
 */
export async function pauseOthers(
  { api, isEmbedded }: Connection,
  { terminal }: Pick<Tools, "terminal">,
  id: string | null,
): Promise<void> {
  if (!isEmbedded) return;
  const pages = pagesOf<BatchSummary>(api, "/batches", "batches", { status: "running" });
  for await (const batches of pages)
    for (const one of batches.filter((batch) => batch.id !== id)) {
      await api.call(`/batches/${encodeURIComponent(one.id)}/pause`, { method: "POST" });
      terminal.say(`${one.name} (${one.id}) had been interrupted and is paused now`);
    }
}

/** Sets the caps of this command on a batch that was created with others. */
export async function setCaps({ api }: Connection, { id, config }: Batch, caps: Caps) {
  const changes = Object.fromEntries(
    Object.entries(caps).filter(([name, value]) => value !== undefined && config[name] !== value),
  );
  if (Object.keys(changes).length === 0) return;
  await api.call(`/batches/${encodeURIComponent(id)}`, {
    method: "PATCH",
    body: changes,
    isRepeatable: true,
  });
}

/** Starts or resumes a batch, whatever other clients do with it meanwhile. */
export async function startBatch(
  connection: Connection,
  { id, status }: Pick<Batch, "id" | "status">,
  isSimulated: boolean,
): Promise<void> {
  if (status !== "pending" && status !== "paused") return;
  const path = `/batches/${encodeURIComponent(id)}`;
  const once = { method: "POST", isRepeatable: true } as const;
  try {
    if (status === "paused") await connection.api.call(`${path}/resume`, once);
    else await connection.api.call(`${path}/execute`, { ...once, body: { isDryRun: isSimulated } });
  } catch (error) {
    if (!failedWith(error, "BATCH_RUNNING", "BATCH_FINISHED")) throw error;
    const now = await getBatch(connection, id);
    if (now.status !== status) await startBatch(connection, now, isSimulated);
  }
}

/** The server's limit for the rows of one pilot. */
const MOST_PILOT_ROWS = 100;

/** Runs the first `limit` rows, including those that have run before. Returns how many will have ended then. */
export async function startPilot(
  connection: Connection,
  tools: Pick<Tools, "clock" | "interrupt">,
  batch: Batch,
  limit: number,
): Promise<number> {
  const { api, isEmbedded } = connection;
  let ended = triedOf(batch);
  // Rows of an interrupted pilot continue by themselves; wait for them to know how many are left.
  if (isEmbedded && batch.executionId !== null)
    ended = await whenQuiet(connection, tools, batch.id);
  while (ended < limit) {
    const rows = Math.min(limit - ended, MOST_PILOT_ROWS);
    try {
      const started = await api.call<{ rows: number }>(
        `/batches/${encodeURIComponent(batch.id)}/execute`,
        { method: "POST", body: { limit: rows } },
      );
      ended += started.rows;
      if (started.rows < rows) break;
    } catch (error) {
      if (failedWith(error, "BATCH_FINISHED")) break;
      throw error;
    }
  }
  return ended;
}

const LOOK_EVERY_MS = 150;

type Counts = { tasks: { running: number }; queue: { depth: number } };

async function whenQuiet(
  connection: Connection,
  { clock, interrupt }: Pick<Tools, "clock" | "interrupt">,
  id: string,
): Promise<number> {
  for (;;) {
    const { tasks, queue } = await connection.api.call<Counts>("/metrics");
    if (tasks.running + queue.depth === 0) return triedOf(await getBatch(connection, id));
    await pause(clock, LOOK_EVERY_MS, interrupt.signal);
    interrupt.throwIfInterrupted();
  }
}
