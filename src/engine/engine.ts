import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { EngineState } from "../domain/health.ts";
import { endsWithin } from "../lib/clock.ts";
import type { Trouble } from "../lib/loop.ts";
import { createAfterwork } from "./afterwork.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createProviderWatch } from "./provider-watch.ts";
import type { Membership } from "./recovery.ts";
import type { Upstreams } from "./upstreams.ts";
import { createWorkerPool } from "./worker-pool.ts";

/** The least time to finish writing after the last call has ended, however short the grace period. */
const AFTERWORK_MS = 2000;

export type Engine = {
  start(): Promise<void>;
  /** Lets calls in flight finish for `graceMs`, then ends them and hands their runs back. */
  stop(graceMs: number): Promise<void>;
  state(): EngineState;
  /** The routes to providers, which live calls use, too; and the function to call when one of them has room. */
  upstreams: Upstreams;
  nudge(): void;
};

/** The parts that execute tasks: worker threads, dispatcher, and the work after the end of batches. */
export function createEngine(ctx: Context, membership: Membership): Engine {
  const log = getLogger(["gptrunner", "engine"]);
  const providerWatch = createProviderWatch(ctx);
  const pool = createWorkerPool({
    size: ctx.config.workers,
    providers: ctx.config.providers,
    simulator: ctx.config.simulator,
    uploads: { folder: ctx.config.filesDir, bucket: ctx.config.bucket },
    onReports: (reports) => dispatcher.report(reports),
    onDeltas: (deltas) => ctx.signals.emit("deltas", deltas),
    isAlive: membership.isAlive,
    clock: ctx.clock,
    startThread: ctx.startThread,
  });
  const dispatcher = createDispatcher(ctx, {
    owner: membership.node,
    isAlive: membership.isAlive,
    run: pool.run,
    abort: pool.abort,
    onCalled: providerWatch.see,
    onProbeFailed: providerWatch.probeFailed,
  });
  const afterwork = createAfterwork(ctx, membership.node);
  let unsubscribe = () => {};

  return {
    upstreams: dispatcher.upstreams,
    nudge: dispatcher.nudge,
    state: () => ({
      threads: ctx.config.workers,
      threadsAlive: pool.alive(),
      inFlight: dispatcher.inFlight(),
      remembered: dispatcher.remembered() + pool.held(),
      trouble: toTrouble(dispatcher.trouble()),
    }),
    async start() {
      pool.start();
      unsubscribe = ctx.signals.on("abandoned", ({ tasks }) => pool.abort(tasks));
      ctx.live.waitingOf = dispatcher.waitingOf;
      ctx.live.providers = dispatcher.providers;
      await dispatcher.start();
      afterwork.start();
    },
    async stop(graceMs) {
      const endsAt = ctx.clock.monotonic() + graceMs;
      const inTime = await endsWithin(ctx.clock, dispatcher.drain(), graceMs);
      unsubscribe();
      const leftMs = Math.max(AFTERWORK_MS, endsAt - ctx.clock.monotonic());
      if (!(await endsWithin(ctx.clock, afterwork.stop(), leftMs)))
        log.warning(
          "An output file, or a batch of the rows of another, was not finished in time; another process or the next start begins it again",
        );
      pool.stop();
      if (!inTime) {
        log.warning("{calls} calls did not finish in time; their tasks are queued again", {
          calls: dispatcher.inFlight(),
        });
        await dispatcher.handBack();
      }
    },
  };
}

function toTrouble(trouble: Trouble | null): EngineState["trouble"] {
  if (!trouble) return null;
  const { complaint, error, forMs } = trouble;
  return { complaint, why: error instanceof Error ? error.message : String(error), forMs };
}
