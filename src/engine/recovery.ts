import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import {
  addNode,
  COUNT_NODES,
  forgetAllNodes,
  forgetNode,
  forgetSilentNodes,
  heartbeat,
  OWNER_IS_GONE,
} from "../store/nodes.ts";
import { findHopeless, recordInterruption, releaseInterrupted } from "../store/release.ts";
import { readRows } from "../store/rows.ts";
import { settle } from "../store/settle.ts";
import { toInterrupted } from "./claimed-run.ts";

export type Membership = {
  /** The number that claims of this process carry, once it is started. */
  node(): number;
  /** Joins, and takes over what is left of others. */
  start(): Promise<void>;
  /** Leaves; what it still holds is taken over by others. */
  stop(): Promise<void>;
};

/**
 * This process as one of those that run tasks.
 *
 * A claim lives as long as its node proves that it does. On a local file no other process can be
 * alive, so at the start whatever is claimed is an orphan and is ready again at once. On a shared
 * server each node writes one heartbeat row every third of the lease; a node that is silent for a
 * whole lease is forgotten by whoever notices first, and its claims are ready again. Should it come
 * back, the fence keeps its late answers out. A run whose attempts are cut off again and again, which
 * may be what ends its processes, is failed instead.
 */
export function createMembership(ctx: Context): Membership {
  const log = getLogger(["gptrunner", "recovery"]);
  const { leaseMs, maxInterruptions } = ctx.config;
  let node: number | undefined;

  function getNode(): number {
    if (node === undefined) throw new Error("this process has not joined the nodes");
    return node;
  }

  async function takeOver(): Promise<number> {
    const { living, orphans } = await ctx.writer.write({
      forgotten: forgetSilentNodes(leaseMs),
      living: COUNT_NODES,
      orphans: releaseInterrupted(OWNER_IS_GONE, maxInterruptions, ctx.clock.now()),
    });
    ctx.live.nodes = Math.max(1, living.rows[0]?.nodes ?? 1);
    return orphans.released.changed + (await failHopeless());
  }

  /** Fails the runs that were interrupted too often. `settle` fences them by claim as it does every run. */
  async function failHopeless(): Promise<number> {
    const hopeless = await readRows(ctx.client, findHopeless(OWNER_IS_GONE, maxInterruptions));
    for (const [owner, claims] of Map.groupBy(hopeless, (one) => one.owner)) {
      const now = ctx.clock.now();
      const finals = claims.map((one) => toInterrupted(one, maxInterruptions, now));
      const batches = [...new Set(claims.map(({ batch }) => batch))];
      await ctx.writer.write({
        recorded: recordInterruption(claims, now),
        ended: settle(finals, batches, [], owner, now),
      });
      log.warning("{count} tasks failed because their process ended too often", {
        count: claims.length,
      });
      ctx.signals.emit("settled", { tasks: claims.map(({ task }) => task) });
      ctx.signals.emit("events", undefined);
    }
    return hopeless.length;
  }

  const heartbeats = createLoop({
    log,
    complaint: "The heartbeat could not be written",
    clock: ctx.clock,
    async work() {
      await ctx.writer.write({ proof: heartbeat(getNode()) });
      const taken = await takeOver();
      if (taken > 0) log.warning("Took over {taken} runs of a node that fell silent", { taken });
    },
    backstopMs: leaseMs / 3,
    maxRetryMs: leaseMs / 3,
  });

  return {
    node: getNode,
    async start() {
      if (ctx.isExclusive) await ctx.writer.write({ forgotten: forgetAllNodes });
      const [added] = (await ctx.writer.write({ node: addNode })).node.rows;
      if (!added) throw new Error("the node was not added");
      node = added.seq;
      const orphans = await takeOver();
      if (orphans > 0)
        log.info("Requeued {orphans} runs that an earlier process left behind", { orphans });
      heartbeats.start();
    },
    async stop() {
      await heartbeats.stop();
      if (node !== undefined) await ctx.writer.write({ forgotten: forgetNode(node) });
    },
  };
}
