import { getLogger } from "@logtape/logtape";

import type { Context, Waits } from "../context.ts";
import type { Statement } from "../db/unit.ts";
import { createLoop } from "../lib/loop.ts";
import { findOpenBatches } from "../store/batches.ts";
import { readRows } from "../store/rows.ts";
import { findOpenTasks } from "../store/tasks.ts";

/** Backstop for lost hints. */
const POLL_MS = 500;
const RETRY = { retryMs: 500, maxRetryMs: 5000 };

type Outside = Pick<Context, "client" | "clock" | "signals">;

/** Waiting for tasks and batches to end, wherever they run. */
export function createWaits(ctx: Outside): Waits {
  const { signals } = ctx;
  const tasks = createWaitsOf("tasks", findOpenTasks, ctx);
  const batches = createWaitsOf("batches", findOpenBatches, ctx);
  const unsubscribe: (() => void)[] = [];
  return {
    async untilEnded(all, ms, signal) {
      const ended = await Promise.all(all.map((task) => tasks.untilEnded(task, ms, signal)));
      return ended.every(Boolean);
    },
    untilBatchEnded: batches.untilEnded,
    size: () => tasks.size() + batches.size(),
    start() {
      unsubscribe.push(
        signals.on("settled", ({ tasks: settled }) => {
          if (settled.some(tasks.has)) tasks.look();
          batches.look();
        }),
        signals.on("batch", batches.look),
        signals.on("elsewhere", () => {
          tasks.look();
          batches.look();
        }),
      );
      tasks.start();
      batches.start();
    },
    async stop() {
      for (const end of unsubscribe) end();
      await Promise.all([tasks.stop(), batches.stop()]);
    },
  };
}

/**
 * All waits for rows of one table share one query. It runs when this process has settled something or another process
 * has signalled a change, and otherwise every half second while somebody waits. If the query fails, it is retried
 * later, and the waits go on.
 */
function createWaitsOf(
  what: string,
  findOpen: (rows: readonly number[]) => Statement<{ seq: number }>,
  { client, clock, signals }: Outside,
) {
  const waiting = new Map<number, Set<(hasEnded: boolean) => void>>();
  let isStopped = false;
  const loop = createLoop({
    log: getLogger(["gptrunner", "waits"]),
    complaint: `The ${what} that requests wait for could not be read`,
    clock,
    work: look,
    ...RETRY,
  });

  async function look(): Promise<{ inMs: number }> {
    const rows = [...waiting.keys()];
    if (rows.length === 0) return { inMs: Infinity };
    const open = new Set((await readRows(client, findOpen(rows))).map(({ seq }) => seq));
    // A deleted row counts as ended.
    for (const row of rows) if (!open.has(row)) for (const end of waiting.get(row) ?? []) end(true);
    return { inMs: waiting.size > 0 ? POLL_MS : Infinity };
  }

  return {
    untilEnded(row: number, ms: number, signal?: AbortSignal): Promise<boolean> {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const others = waiting.get(row) ?? new Set();
      waiting.set(row, others.add(end));
      const giveUp = () => end(false);
      const cancel = clock.setTimeout(giveUp, ms);
      signal?.addEventListener("abort", giveUp);
      if (signal?.aborted || isStopped) giveUp();
      else {
        loop.nudge();
        signals.emit("listening", undefined);
      }
      function end(hasEnded: boolean): void {
        cancel();
        signal?.removeEventListener("abort", giveUp);
        others.delete(end);
        if (others.size === 0 && waiting.get(row) === others) waiting.delete(row);
        resolve(hasEnded);
      }
      return promise;
    },
    has: (row: number) => waiting.has(row),
    look(): void {
      if (waiting.size > 0) loop.nudge();
    },
    size: () => waiting.size,
    start(): void {
      loop.start();
      if (waiting.size > 0) loop.nudge();
    },
    /** Also ends the waits, whose clients get the present state before the process ends. */
    async stop(): Promise<void> {
      isStopped = true;
      await loop.stop();
      for (const ends of waiting.values()) for (const end of ends) end(false);
    },
  };
}
