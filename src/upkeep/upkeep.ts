import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { endsWithin } from "../lib/clock.ts";
import { createLoop, type Loop, type More } from "../lib/loop.ts";
import { expireBatches } from "../services/batch-moves.ts";
import { sweepAll } from "../services/batch-sweeps.ts";
import { watchBudgets } from "../services/budgets.ts";
import { removeLeftDrafts } from "../services/drafts.ts";
import { removeExpiredFiles, removeLeftUploads } from "../services/files.ts";
import { removeLooseFiles } from "../services/loose-files.ts";
import { pruneMetrics } from "../services/metrics.ts";
import { pruneHistory } from "../services/retention.ts";
import { createFilesWatch, identifyFiles } from "../services/shared-files.ts";
import { keepTimeline } from "../services/timeline.ts";
import { shrinkFile } from "../services/vacuum.ts";
import { watchBooks, watchDisk, watchQueue } from "../services/watch.ts";

const WATCH_EVERY_MS = 15_000;
const IDENTIFY_EVERY_MS = 60_000;
const SHRINK_EVERY_MS = 60_000;
const PRUNE_EVERY_MS = 3_600_000;
const MAX_RETRY_MS = 60_000;
const AT_ONCE: More = { inMs: 0 };
const LEFT_EVERY_MS = 5000;
const MARK_EVERY_MS = 5000;
const STOP_MS = 2000;
/** A draft without a write for this long is abandoned: each chunk of rows takes far less. */
const SILENT_DRAFT_MS = 30_000;

export type Upkeep = { start(): void; stop(): Promise<void> };

/**
 * The background maintenance of every process: it detects problems, finishes what other processes have left undone,
 * and removes what is old. On a shared database all processes do it; an alert is still raised only once. Each task
 * has a loop of its own, so that none waits for another.
 */
export function createUpkeep(ctx: Context): Upkeep {
  const log = getLogger(["gptrunner", "upkeep"]);
  let booksSeenAt = ctx.clock.now();

  function every(ms: number, complaint: string, work: () => Promise<More | void>): Loop {
    return createLoop({
      log,
      complaint,
      clock: ctx.clock,
      work,
      backstopMs: ms,
      maxRetryMs: MAX_RETRY_MS,
    });
  }

  const watches = [
    every(WATCH_EVERY_MS, "The queue could not be watched", () => watchQueue(ctx)),
    every(WATCH_EVERY_MS, "The disk could not be watched", () => watchDisk(ctx)),
    every(WATCH_EVERY_MS, "The budgets could not be watched", () => watchBudgets(ctx)),
    every(WATCH_EVERY_MS, "The counters could not be watched", async () => {
      const since = booksSeenAt - WATCH_EVERY_MS;
      const now = ctx.clock.now();
      await watchBooks(ctx, since);
      booksSeenAt = now;
    }),
  ];
  const files = [
    every(IDENTIFY_EVERY_MS, "The files of this process could not be reached", () =>
      identifyFiles(ctx),
    ),
    every(
      LEFT_EVERY_MS,
      "Whether all nodes have the same files could not be checked",
      createFilesWatch(ctx),
    ),
  ];
  const leftovers = [
    every(LEFT_EVERY_MS, "The remains of uploads and deletions could not be removed", () =>
      removeLooseFiles(ctx),
    ),
    every(LEFT_EVERY_MS, "Tasks of a batch could not be cancelled or made pending", () =>
      sweepAll(ctx),
    ),
    every(LEFT_EVERY_MS, "Batches whose deadline has passed could not be ended", () =>
      expireBatches(ctx),
    ),
    every(LEFT_EVERY_MS, "Files that have expired could not be removed", () =>
      removeExpiredFiles(ctx),
    ),
    every(LEFT_EVERY_MS, "An abandoned draft of a batch could not be removed", () =>
      removeLeftDrafts(ctx, SILENT_DRAFT_MS).then((isMore) => (isMore ? AT_ONCE : undefined)),
    ),
  ];
  const marks = [
    every(MARK_EVERY_MS, "Whether the database was restored could not be checked", () =>
      keepTimeline(ctx),
    ),
  ];
  const pruning = [
    every(PRUNE_EVERY_MS, "The remains of killed uploads could not be removed", () =>
      removeLeftUploads(ctx),
    ),
    every(PRUNE_EVERY_MS, "Old rows could not be removed", () =>
      pruneHistory(ctx).then(() => undefined),
    ),
    every(SHRINK_EVERY_MS, "The database file could not be made smaller", () =>
      shrinkFile(ctx).then((isMore) => (isMore ? AT_ONCE : undefined)),
    ),
    every(PRUNE_EVERY_MS, "Old metrics could not be removed", () => pruneMetrics(ctx)),
  ];

  return {
    start() {
      for (const loop of [...watches, ...files, ...leftovers, ...marks, ...pruning]) loop.start();
      for (const loop of [...leftovers, ...pruning]) loop.nudge();
    },
    async stop() {
      // Stores the numbers that were given since the last run.
      await Promise.all(marks.map((loop) => loop.look()));
      // Pruning may have years of rows to remove, or a bucket may be silent. The work may end anywhere, and the next
      // process continues.
      const all = [...watches, ...files, ...leftovers, ...marks, ...pruning];
      await endsWithin(ctx.clock, Promise.all(all.map((loop) => loop.stop())), STOP_MS);
    },
  };
}
