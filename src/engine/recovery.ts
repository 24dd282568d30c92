import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop, type More } from "../lib/loop.ts";
import { hashesOfEnvironment, keepEnvironmentKeys } from "../services/first-keys.ts";
import { revokeForsakenKeys } from "../store/api-keys.ts";
import { forgetFollowing } from "../store/changes.ts";
import { endForsaken } from "../store/live-calls.ts";
import {
  addNode,
  COUNT_NODES,
  forgetAllNodes,
  forgetNode,
  forgetSilentNodes,
  heartbeat,
  type Joined,
  OWNER_IS_GONE,
} from "../store/nodes.ts";
import { findHopeless, recordInterruption, releaseInterrupted } from "../store/release.ts";
import { readRows } from "../store/rows.ts";
import { settle } from "../store/settle.ts";
import { toInterrupted } from "./claimed-run.ts";

/** A gap between heartbeats that exceeds this share of a lease counts as a delay; normally it is a third. */
const LONGEST_GAP = 2 / 3;

/** By how much of a lease the time between two heartbeats may differ by the two clocks. */
const JUMP = 1 / 10;

/** How long pieces of answers are kept. Nodes that follow an answer read them within a tenth of a second. */
const KEEP_DELTAS_MS = 60_000;

export type Membership = {
  /** The node number in the claims of this process, once it is started. */
  node(): number;
  /**
   * Whether other nodes consider it alive, as far as it knows, and have done so since then (monotonic time), so that it
   * still owns what it has claimed since. A process that stood still may be alive again before it receives what it
   * claimed before.
   */
  isAlive(since?: number): boolean;
  /** Joins, and takes over the work of dead nodes. */
  start(): Promise<void>;
  /** Leaves; other nodes take over what it still holds. */
  stop(): Promise<void>;
};

/**
 * This process as one of those that share the database.
 *
 * A claim lives as long as its node proves that it does. On a local file no other process can be
 * alive, so at the start whatever is claimed is an orphan and is ready again at once. On a shared
 * server each node writes one heartbeat row every third of its lease, and the lease with it, because nodes
 * may have unequal ones. A node that is silent for its whole lease, by the database's clock, is removed by
 * the first node that finds it, and its claims are ready again. Should it come back, the fence keeps its late
 * answers out. A run whose attempts are cut off again and again, which may be what ends its processes, is
 * failed instead.
 *
 *   alive      a heartbeat that it sent less than a lease ago was acknowledged, by its own monotonic
 *              clock. Left when none is: it was paused, or the database cannot be reached.
 *   lapsed     it begins no call, not even of what it has claimed: another node may have taken that
 *              over. Calls in flight go on; their answers count unless another node has the run.
 *              Left by the next heartbeat that is acknowledged.
 *   forgotten  that heartbeat finds its row gone. It joins again under the same number, and ends the
 *              calls that are not its own any more.
 *
 * After an outage of the database all nodes look silent to the one that reaches it first, or starts then. So a
 * node forgets another only if its own heartbeats arrived without a gap for as long as each of the two leases. An
 * outage also delays the acknowledgement of a heartbeat that was sent meanwhile, so it is the time until then that
 * shows whether there may have been a gap. They also look silent if the database's clock has jumped, so two heartbeats
 * must be as far apart by that clock as by this process's own.
 */
export function createMembership(ctx: Context): Membership {
  const log = getLogger(["gptrunner", "recovery"]);
  const { leaseMs, maxInterruptions, role } = ctx.config;
  const longestGapMs = leaseMs * LONGEST_GAP;
  const keys = hashesOfEnvironment(ctx);
  const facts = () => ({ isRunner: role !== "api", keys, filesId: ctx.live.filesId, leaseMs });
  let node: number | undefined;
  /** When its row was added. Another time in the row shows that it was forgotten meanwhile. */
  let joinedAt = 0;
  /** When the last acknowledged heartbeat was sent, and since when they have been sent without a gap. */
  let heardAt = -Infinity;
  let heardSince = -Infinity;
  /** When it was acknowledged, and since when they have certainly arrived without a gap. */
  let arrivedBy = -Infinity;
  let arrivedSince = -Infinity;
  /** The time of the last heartbeat by the database's clock. */
  let storedAt = -Infinity;

  function getNode(): number {
    if (node === undefined) throw new Error("this process has not joined the nodes");
    return node;
  }

  /** Notes an acknowledged heartbeat, which arrived at some moment between `sentAt` and now. */
  function noteHeard(sentAt: number, row: Joined): void {
    const storedMs = row.now - storedAt;
    const leastMs = sentAt - arrivedBy - JUMP * leaseMs;
    arrivedBy = ctx.clock.monotonic();
    const hasJumped = storedMs < leastMs || storedMs > arrivedBy - heardAt + JUMP * leaseMs;
    const wayMs = (arrivedBy - sentAt) / 2;
    if (!ctx.isExclusive) ctx.live.aheadMs = Math.round(row.now + wayMs - ctx.clock.steady());
    const wasForgotten = row.startedAt !== joinedAt;
    if (wasForgotten || sentAt - heardAt > longestGapMs) heardSince = sentAt;
    // The one before may have arrived as soon as it was sent, and this one only now.
    if (wasForgotten || hasJumped || arrivedBy - heardAt > longestGapMs) arrivedSince = arrivedBy;
    heardAt = sentAt;
    storedAt = row.now;
  }

  const heardForMs = () => heardAt - arrivedSince;

  async function takeOver(): Promise<number> {
    const now = ctx.clock.now();
    const { living, orphans, forsaken } = await ctx.writer.write({
      forgotten: forgetSilentNodes(getNode(), { leaseMs, heardForMs: heardForMs() }),
      living: COUNT_NODES,
      orphans: releaseInterrupted(OWNER_IS_GONE, maxInterruptions, now),
      ...(ctx.isExclusive
        ? {}
        : {
            forsaken: revokeForsakenKeys([], now),
            following: forgetFollowing(KEEP_DELTAS_MS),
            reserved: endForsaken(),
          }),
    });
    ctx.live.nodes = Math.max(1, living.rows[0]?.nodes ?? 1);
    if (forsaken && forsaken.changed > 0) ctx.signals.emit("keys", { key: null });
    return orphans.released.changed + (await failHopeless());
  }

  /** Fails the runs that were interrupted too often. `settle` fences them by claim like every run. */
  async function failHopeless(): Promise<number> {
    const hopeless = await readRows(ctx.client, findHopeless(OWNER_IS_GONE, maxInterruptions));
    for (const [owner, claims] of Map.groupBy(hopeless, (one) => one.owner)) {
      const now = ctx.clock.now();
      const finals = claims.map((one) => toInterrupted(one, maxInterruptions, now));
      const batches = [...new Set(claims.map(({ batch }) => batch))];
      const settling = {
        tallies: [],
        dearest: [],
        mayBeLimited: true,
        isExclusive: ctx.isExclusive,
      };
      await ctx.writer.write({
        recorded: recordInterruption(claims, now),
        ended: settle({ ...settling, finals, batches }, owner, now),
      });
      log.warning("{count} tasks failed because their process ended too often", {
        count: claims.length,
      });
      ctx.signals.emit("settled", { tasks: claims.map(({ task }) => task) });
      ctx.signals.emit("events", undefined);
    }
    return hopeless.length;
  }

  async function beat(): Promise<More> {
    const sentAt = ctx.clock.monotonic();
    const { heard } = await ctx.writer.write({ heard: heartbeat(getNode(), facts()) });
    const [row] = heard.rows;
    if (!row) throw new Error("the heartbeat has no row");
    noteHeard(sentAt, row);
    if (row.startedAt !== joinedAt) await comeBack(row.startedAt);
    if (heardForMs() >= leaseMs) {
      const taken = await takeOver();
      if (taken > 0) log.warning("Took over {taken} runs of a node that fell silent", { taken });
    }
    // Whatever came after the acknowledgement must not make the gap to the next heartbeat longer.
    return { inMs: arrivedBy + leaseMs / 3 - ctx.clock.monotonic() };
  }

  /** Other nodes had declared this one dead, and taken over its work. If this fails, the next heartbeat repeats it. */
  async function comeBack(rejoinedAt: number): Promise<void> {
    ctx.signals.emit("lost", undefined);
    await ctx.writer.write({ keys: keepEnvironmentKeys(ctx) });
    joinedAt = rejoinedAt;
    log.warning(
      "This process was silent for longer than LEASE_SECONDS; others have taken its work over",
    );
  }

  const heartbeats = createLoop({
    log,
    complaint: "The heartbeat could not be written",
    clock: ctx.clock,
    work: beat,
    backstopMs: leaseMs / 3,
    maxRetryMs: leaseMs / 3,
  });

  return {
    node: getNode,
    isAlive: (since = Infinity) =>
      ctx.isExclusive || (ctx.clock.monotonic() - heardAt < leaseMs && heardSince <= since),
    async start() {
      // On a local file no other node can be alive, whatever the rows say.
      if (ctx.isExclusive) await ctx.writer.write({ forgotten: forgetAllNodes });
      const sentAt = ctx.clock.monotonic();
      const joined = await ctx.writer.write({
        node: addNode(facts()),
        // Another node may have revoked them, since no node had them until now.
        keys: ctx.isExclusive ? undefined : keepEnvironmentKeys(ctx),
      });
      const [added] = joined.node.rows;
      if (!added) throw new Error("the node was not added");
      noteHeard(sentAt, added);
      node = added.seq;
      joinedAt = added.startedAt;
      ctx.live.node = node;
      // Nothing is known yet of silent nodes, only of those that are gone.
      const orphans = await takeOver();
      if (orphans > 0)
        log.info("Requeued {orphans} runs that an earlier process left behind", { orphans });
      heartbeats.start();
    },
    async stop() {
      await heartbeats.stop();
      if (node === undefined) return;
      await ctx.writer.write({ forgotten: forgetNode(node) });
    },
  };
}
