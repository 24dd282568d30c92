import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createRecovery } from "./recovery.ts";
import { createWorkerPool, type WorkerPool } from "./worker-pool.ts";

export type Engine = {
  start(): Promise<void>;
  /** Lets calls in flight finish for `graceMs`, then ends them and hands their runs back. */
  stop(graceMs: number): Promise<void>;
  isRunning(): boolean;
};

/** What executes tasks: recovery, dispatcher and worker threads. */
export function createEngine(ctx: Context, node: string): Engine {
  const log = getLogger(["gptrunner", "engine"]);
  const recovery = createRecovery(ctx, node);
  let pool: WorkerPool | undefined;
  const dispatcher = createDispatcher(ctx, {
    owner: node,
    run: (calls) => pool?.run(calls),
    random: Math.random,
  });
  let unsubscribe: (() => void) | undefined;

  return {
    async start() {
      pool = createWorkerPool({
        size: ctx.config.workers,
        provider: ctx.config.provider,
        simulator: ctx.config.simulator,
        onOutcomes: dispatcher.report,
        onDeltas: (deltas) => ctx.signals.emit("deltas", deltas),
        now: ctx.now,
      });
      unsubscribe = ctx.signals.on("abandoned", ({ tasks }) => pool?.abort(tasks));
      await recovery.start();
      await dispatcher.start();
    },
    async stop(graceMs) {
      const drained = dispatcher.drain();
      const inTime = await Promise.race([
        drained.then(() => true),
        new Promise<boolean>((resolve) => setTimeout(resolve, graceMs, false).unref()),
      ]);
      unsubscribe?.();
      pool?.stop();
      pool = undefined;
      if (!inTime) {
        log.warning("{calls} calls did not finish in time; their tasks are queued again", {
          calls: dispatcher.inFlight(),
        });
        await dispatcher.handBack();
      }
      await recovery.stop();
    },
    isRunning: () => pool !== undefined,
  };
}
