import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop, type More } from "../lib/loop.ts";
import { CHANGES, type Count, countChanges, PUBLISHED, type Topic } from "../store/changes.ts";
import { readRows } from "../store/rows.ts";
import { createFollowing, type Followers } from "./following.ts";

/** The poll interval while a client waits or reads a stream here. */
const WAITED_FOR_MS = 20;
/**
 * The poll interval of processes that run tasks is this share of the time since they last learned of new work, within
 * limits: a client that has executed a task may soon wait for the next one.
 */
const SHARE_OF_IDLE = 1 / 1000;
const POLL_MS = { least: 30, most: 250 };

export type NodeSignalsOptions = {
  /** The number of this process, once it has joined the others. */
  node: () => number;
  /** Whether a client waits here for events that may happen at other nodes. */
  isWaitedFor: () => boolean;
  followers: Followers;
};

/*
 * The signals that processes with the same database publish to each other: one counter for each topic of
 * `ctx.signals`, and one reader of the counters for all loops of this process.
 *
 *   publishing  a signal was emitted here. Its counter grows in the commit that the write of the same round
 *             is part of, or in the next one. Signals that come meanwhile are published together afterwards,
 *             so that a busy process publishes without a pause. What fails is published again.
 *   looking   the counters are read, often while a client waits here. A counter that others have raised is
 *             emitted as a signal here; such signals are not published again.
 *
 * All of it only saves time, or calls that were cancelled: what is not heard is found by the backstop of the loop
 * that needs it, if it has one. On a local file there is no other process.
 */
export function createNodeSignals(ctx: Context, options: NodeSignalsOptions) {
  const log = getLogger(["gptrunner", "nodes"]);
  const { signals } = ctx;
  const following = createFollowing(ctx, { ...options, publish });
  /** The counters as last read, or as changed since then by this process alone. */
  const counts = new Map<string, number>();
  const unpublished = new Set<Topic>();
  let publishing: Promise<void> | undefined;
  /** The last write of counters. */
  let counting: Promise<void> | undefined;
  let isRepeating = false;
  let isStopped = false;
  /** When this process last learned of new work at another one. */
  let workAt = -Infinity;
  const unsubscribe: (() => void)[] = [];

  const loop = createLoop({
    log,
    complaint: "The changes of other processes could not be read",
    clock: ctx.clock,
    work: look,
    backstopMs: POLL_MS.most,
    retryMs: POLL_MS.most,
  });

  function publish(topic: Topic): void {
    if (isRepeating) return;
    unpublished.add(topic);
    publishing ??= publishAll();
  }

  async function publishAll(): Promise<void> {
    while (unpublished.size > 0) {
      const topics = [...unpublished];
      unpublished.clear();
      try {
        await (counting = count(topics));
      } catch (error) {
        log.debug("Changes could not be published to other processes: {error}", { error });
        if (isStopped) break;
        // Nobody else would say that calls of other processes are to end.
        for (const topic of topics) unpublished.add(topic);
        await ctx.clock.sleep(POLL_MS.most);
      }
    }
    publishing = undefined;
  }

  async function count(topics: Topic[]): Promise<void> {
    const { counted } = await ctx.writer.write({ counted: countChanges(topics) });
    for (const { topic, count: newest } of counted.rows)
      // Before the first read nothing is known; after it, a topic without a row was never published.
      if (counts.size > 0 && (counts.get(topic) ?? 0) === newest - 1) counts.set(topic, newest);
  }

  async function look(): Promise<More | void> {
    await following.keepUp();
    const before = new Map(counts);
    const rows = await readRows(ctx.client, CHANGES);
    // The read may or may not include the write that was under way. It does not include later ones, which come without
    // end in a busy process.
    await counting?.catch(() => {});
    const isFirst = counts.size === 0;
    const changed = rows.filter(
      ({ topic, count }) =>
        count > (counts.get(topic) ?? -Infinity) || count < (before.get(topic) ?? -Infinity),
    );
    for (const { topic, count } of changed) counts.set(topic, count);
    if (isFirst) await following.begin(counts.get("deltas") ?? 0);
    else for (const { topic } of changed) await hear(topic);
    if (options.isWaitedFor()) return { inMs: WAITED_FOR_MS };
    if (ctx.config.role === "api") return;
    const idleMs = ctx.clock.monotonic() - workAt;
    return { inMs: Math.max(POLL_MS.least, idleMs * SHARE_OF_IDLE) };
  }

  async function hear(topic: Count["topic"]): Promise<void> {
    if (topic === "queued") workAt = ctx.clock.monotonic();
    if (topic === "followed") await following.readFollowed();
    else if (topic === "deltas") {
      const deltas = await following.readDeltas();
      if (deltas.length > 0) repeat(() => signals.emit("deltas", deltas));
    } else repeat(() => SIGNAL_OF[topic](ctx));
  }

  function repeat(emit: () => void): void {
    isRepeating = true;
    try {
      emit();
    } finally {
      isRepeating = false;
    }
  }

  return {
    start(): void {
      for (const topic of PUBLISHED)
        if (topic !== "followed") unsubscribe.push(signals.on(topic, () => publish(topic)));
      unsubscribe.push(
        signals.on("deltas", (deltas) => isRepeating || following.passOn(deltas)),
        signals.on("lost", following.forget),
        signals.on("listening", () => loop.nudge()),
      );
      loop.start();
      loop.nudge();
    },
    async stop(): Promise<void> {
      isStopped = true;
      for (const end of unsubscribe) end();
      await loop.stop();
      await publishing;
      await following.stop();
    },
  };
}

/** The signal to emit here for a change at another process. */
const SIGNAL_OF: Record<Exclude<Count["topic"], "followed" | "deltas">, (ctx: Context) => void> = {
  abandoned: ({ signals }) => signals.emit("lost", undefined),
  batch: ({ signals }) => signals.emit("batch", undefined),
  deleted: ({ signals }) => signals.emit("deleted", undefined),
  events: ({ signals }) => signals.emit("elsewhere", undefined),
  keys: ({ signals }) => signals.emit("keys", { key: null }),
  // The queue is read to find the lanes with work.
  queued: ({ signals }) => signals.emit("batch", undefined),
  schedules: ({ signals }) => signals.emit("schedules", undefined),
  webhooks: ({ signals }) => signals.emit("webhooks", undefined),
};
