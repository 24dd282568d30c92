import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import {
  addNode,
  COUNT_NODES,
  forgetAllNodes,
  forgetNode,
  forgetSilentNodes,
  heartbeat,
  OWNER_IS_GONE,
} from "../store/nodes.ts";
import { releaseClaims } from "../store/queue.ts";
import { rowsOf } from "../store/rows.ts";

export type Membership = {
  /** The number that claims of this process carry. */
  node: number;
  leave(): Promise<void>;
};

/**
 * Makes this process one that runs tasks, and takes over what is left of others.
 *
 * A claim lives as long as its node proves that it does. On a local file no other process can be
 * alive, so at the start whatever is claimed is an orphan and is ready again at once. On a shared
 * server each node writes one heartbeat row every third of the lease; a node that is silent for a
 * whole lease is forgotten by whoever notices first, and its claims are ready again. Should it come
 * back, the fence keeps its late answers out.
 */
export async function joinNodes(ctx: Context): Promise<Membership> {
  const log = getLogger(["gptrunner", "recovery"]);
  const { leaseMs } = ctx.config;

  async function takeOver(): Promise<number> {
    const released = releaseClaims(OWNER_IS_GONE, ctx.clock.now());
    const results = await ctx.writer.write([forgetSilentNodes(leaseMs), COUNT_NODES, ...released]);
    ctx.live.nodes = Math.max(1, rowsOf<{ nodes: number }>(results[1])[0]?.nodes ?? 1);
    return results.at(-1)?.rowsAffected ?? 0;
  }

  if (ctx.isExclusive) await ctx.writer.write([forgetAllNodes]);
  const [added] = rowsOf<{ seq: number }>((await ctx.writer.write([addNode]))[0]);
  if (!added) throw new Error("the node was not added");
  const node = added.seq;
  const orphans = await takeOver();
  if (orphans > 0)
    log.info("Requeued {orphans} runs that an earlier process left behind", { orphans });

  const cancel = ctx.clock.setInterval(async () => {
    try {
      await ctx.writer.write([heartbeat(node)]);
      const taken = await takeOver();
      if (taken > 0) log.warning("Took over {taken} runs of a node that fell silent", { taken });
    } catch (error) {
      log.error("The heartbeat could not be written: {error}", { error });
    }
  }, leaseMs / 3);

  return {
    node,
    async leave() {
      cancel();
      await ctx.writer.write([forgetNode(node)]);
    },
  };
}
