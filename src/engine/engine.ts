import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { EngineState } from "../domain/health.ts";
import { endsWithin } from "../lib/clock.ts";
import { createDispatcher } from "./dispatcher.ts";
import { startOutputWriter } from "./output-writer.ts";
import { createProviderWatch } from "./provider-watch.ts";
import { joinNodes } from "./recovery.ts";
import { createWorkerPool } from "./worker-pool.ts";

export type Engine = {
  /** The number of this process among those that share the database. */
  node: number;
  /** Lets calls in flight finish for `graceMs`, then ends them and hands their runs back. */
  stop(graceMs: number): Promise<void>;
  state(): EngineState;
};

/** Starts what executes tasks: worker threads, recovery, dispatcher, the writing of output files. */
export async function startEngine(ctx: Context): Promise<Engine> {
  const log = getLogger(["gptrunner", "engine"]);
  const providerWatch = createProviderWatch(ctx);
  const pool = createWorkerPool({
    size: ctx.config.workers,
    providers: ctx.config.providers,
    simulator: ctx.config.simulator,
    onOutcomes(outcomes) {
      providerWatch.see(outcomes);
      dispatcher.report(outcomes);
    },
    onDeltas: (deltas) => ctx.signals.emit("deltas", deltas),
    clock: ctx.clock,
    startThread: ctx.startThread,
  });
  const membership = await joinNodes(ctx);
  const dispatcher = createDispatcher(ctx, {
    owner: membership.node,
    run: pool.run,
    onProbeFailed: providerWatch.probeFailed,
  });
  const unsubscribe = ctx.signals.on("abandoned", ({ tasks }) => pool.abort(tasks));
  ctx.live.waitingOf = dispatcher.waitingOf;
  ctx.live.providers = dispatcher.providers;
  await dispatcher.start();
  const outputWriter = await startOutputWriter(ctx);

  return {
    node: membership.node,
    state: () => ({
      threads: ctx.config.workers,
      threadsAlive: pool.alive(),
      inFlight: dispatcher.inFlight(),
    }),
    async stop(graceMs) {
      const inTime = await endsWithin(ctx.clock, dispatcher.drain(), graceMs);
      unsubscribe();
      await outputWriter.stop();
      pool.stop();
      if (!inTime) {
        log.warning("{calls} calls did not finish in time; their tasks are queued again", {
          calls: dispatcher.inFlight(),
        });
        await dispatcher.handBack();
      }
      await membership.leave();
    },
  };
}
