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
  tools: Pick<Tools, "clock" | "interrupt" | "terminal">,
  batch: Batch,
  limit: number,
): Promise<number> {
  let ended =
    batch.executionId === null ? triedOf(batch) : await whenQuiet(connection, tools, batch.id);
  while (ended < limit) {
    const rows = Math.min(limit - ended, MOST_PILOT_ROWS);
    try {
      const started = await connection.api.call<{ rows: number }>(
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

const LOOK_EVERY_MS = { embedded: 150, server: 1000 };

/**
 * Waits for the rows of an interrupted pilot, which go on by themselves, to know how many are left. Returns how many
 * have ended.
 */
async function whenQuiet(
  connection: Connection,
  { clock, interrupt, terminal }: Pick<Tools, "clock" | "interrupt" | "terminal">,
  id: string,
): Promise<number> {
  const lookMs = connection.isEmbedded ? LOOK_EVERY_MS.embedded : LOOK_EVERY_MS.server;
  for (let looks = 0; !(await isQuiet(connection, id)); looks++) {
    if (looks === 0)
      terminal.say("Rows of an earlier trial are under way and count; waiting for them");
    await pause(clock, lookMs, interrupt.signal);
    interrupt.throwIfInterrupted();
  }
  return triedOf(await getBatch(connection, id));
}

/**
 * Whether no row of a batch that was not started is queued or running. The queue is looked at twice, as rows leave it
 * to run, and return to it after a failed attempt.
 */
async function isQuiet(connection: Connection, id: string): Promise<boolean> {
  if (await hasQueued(connection, id)) return false;
  const { status, progress } = await getBatch(connection, id);
  if (status !== "pending") return true;
  return progress.running === 0 && !(await hasQueued(connection, id));
}

/** Pilots take the first rows that have not run, so if any row is queued, the first pending one is. */
async function hasQueued({ api }: Connection, batchId: string): Promise<boolean> {
  const query = { batchId, status: "pending", limit: 1, order: "asc" };
  const { tasks } = await api.call<{ tasks: Pick<Task, "id">[] }>("/tasks", { query });
  const [first] = tasks;
  if (!first) return false;
  const { queuedAt } = await api.call<Task>(`/tasks/${encodeURIComponent(first.id)}`);
  return queuedAt !== null;
}
