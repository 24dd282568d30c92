import type { Batch } from "../client.ts";
import type { Tools } from "../command.ts";
import type { Connection } from "../connect.ts";
import { pause } from "../interrupt.ts";
import { createBar, triedOf } from "./bar.ts";

const FIRST_LOOK_MS = 150;
/** The longest poll interval. A remote server limits requests, and a large batch takes a while. */
const LONGEST_LOOK_MS = { embedded: FIRST_LOOK_MS, server: 1000 };

export type Followed = Batch & { isInterrupted: boolean };

/** A batch without its tasks. */
export function getBatch({ api }: Pick<Connection, "api">, id: string): Promise<Batch> {
  return api.call<Batch>(`/batches/${encodeURIComponent(id)}`, { query: { limit: 1 } });
}

/**
 * Shows the progress of a batch until it has ended or was paused, until `target` rows of a pilot have ended, or until
 * an interrupt.
 */
export async function follow(
  connection: Connection,
  tools: Pick<Tools, "clock" | "terminal" | "interrupt"> & { trouble: () => string | null },
  id: string,
  target: number | null,
): Promise<Followed> {
  const { clock, terminal, interrupt, trouble } = tools;
  let batch = await getBatch(connection, id);
  const bar = createBar({ terminal, clock }, target);
  const longestMs = connection.isEmbedded ? LONGEST_LOOK_MS.embedded : LONGEST_LOOK_MS.server;
  const cancelRedraw = clock.setInterval(() => bar.show(batch, trouble()), 1000);
  try {
    for (let lookMs = FIRST_LOOK_MS; ; lookMs = Math.min(lookMs * 1.5, longestMs)) {
      bar.show(batch, trouble());
      // A batch that has ended has results to write, interrupt or not.
      if (hasEnded(batch, target)) return { ...batch, isInterrupted: false };
      if (interrupt.signal.aborted) return { ...batch, isInterrupted: true };
      await pause(clock, lookMs, interrupt.signal);
      batch = await lookAgain(connection, interrupt.signal, batch);
    }
  } finally {
    cancelRedraw();
    bar.end();
  }
}

/** Reads the batch again; on an interrupt while the server is unreachable, returns the last known state. */
async function lookAgain(connection: Connection, signal: AbortSignal, last: Batch): Promise<Batch> {
  const path = `/batches/${encodeURIComponent(last.id)}`;
  try {
    return await connection.api.call<Batch>(path, { query: { limit: 1 }, signal });
  } catch (error) {
    if (signal.aborted) return last;
    throw error;
  }
}

/** Whether a batch has ended or is paused, or `target` rows of a pilot have ended. */
export function hasEnded(batch: Batch, target: number | null): boolean {
  if (batch.status === "paused") return true;
  if (target !== null) return triedOf(batch) >= target;
  return ["completed", "failed", "cancelled"].includes(batch.status) && batch.completedAt !== null;
}
