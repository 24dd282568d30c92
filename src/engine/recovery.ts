import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { forgetNode, forgetSilentNodes, heartbeat, OWNER_IS_GONE } from "../store/nodes.ts";
import { releaseClaims } from "../store/queue.ts";

/*
 * A claim lives as long as its node proves that it does. On a local file no other process can be
 * alive, so at the start whatever is claimed is an orphan and is ready again at once. On a shared
 * server each node writes one heartbeat row every third of the lease; a node that is silent for a
 * whole lease is forgotten by whoever notices first, and its claims are ready again. Should it come
 * back, the fence keeps its late answers out.
 */
export function createRecovery(ctx: Context, node: string) {
  const log = getLogger(["gptrunner", "recovery"]);
  let timer: ReturnType<typeof setInterval> | undefined;

  /** Proves that this node lives, and takes over from those that do not. */
  async function beat(leaseMs: number): Promise<number> {
    const unit = [
      heartbeat(node),
      forgetSilentNodes(leaseMs),
      ...releaseClaims(OWNER_IS_GONE, ctx.now()),
    ];
    return (await ctx.writer.write(unit)).at(-1)?.rowsAffected ?? 0;
  }

  async function beatSafely(): Promise<void> {
    try {
      const taken = await beat(ctx.config.leaseMs);
      if (taken > 0) log.warning("Took over {taken} runs of a node that fell silent", { taken });
    } catch (error) {
      log.error("The heartbeat could not be written: {error}", { error });
    }
  }

  return {
    async start(): Promise<void> {
      if (ctx.isExclusive) await ctx.writer.write([{ sql: "DELETE FROM nodes", args: [] }]);
      const orphans = await beat(ctx.config.leaseMs);
      if (orphans > 0)
        log.info("Requeued {orphans} runs that the last process left behind", { orphans });
      timer = setInterval(() => void beatSafely(), ctx.config.leaseMs / 3);
    },
    async stop(): Promise<void> {
      clearInterval(timer);
      await ctx.writer.write([forgetNode(node)]);
    },
  };
}
