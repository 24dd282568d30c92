import { getLogger } from "@logtape/logtape";

import type { Context, Delta } from "../context.ts";
import {
  addDeltas,
  deltasAfter,
  follow,
  followedElsewhere,
  type Piece,
  type Topic,
  unfollow,
} from "../store/changes.ts";
import { readRows } from "../store/rows.ts";

/** The tasks whose streamed answers have readers here. */
export type Followers = { streamedTasks: () => Iterable<number> };

export type FollowingOptions = {
  node: () => number;
  followers: Followers;
  publish: (topic: Topic) => void;
};

/** How many pieces are read at a time, and how many characters may wait to be published. */
const PAGE = 500;
const MOST_WAITING = 1_000_000;

/**
 * Passes pieces of streamed answers between nodes. A node publishes which tasks have readers at it; the nodes that
 * call the models for them write the pieces to the database, one commit after the other. Late pieces are useless, so
 * those that cannot be published in time are dropped, and readers see from the offset of the next one that some are
 * missing.
 */
export function createFollowing(ctx: Context, { node, followers, publish }: FollowingOptions) {
  const log = getLogger(["gptrunner", "nodes"]);
  let announced = new Set<number>();
  let wanted = new Set<number>();
  let position = 0;
  let waiting: Piece[] = [];
  let waitingSize = 0;
  let writing: Promise<void> | undefined;

  async function writeAll(): Promise<void> {
    try {
      while (waiting.length > 0) {
        const pieces = joined(waiting);
        waiting = [];
        waitingSize = 0;
        await ctx.writer.write({ added: addDeltas(node(), pieces) });
      }
    } catch (error) {
      waiting = [];
      waitingSize = 0;
      log.debug("Pieces of answers could not be published to other processes: {error}", { error });
    } finally {
      writing = undefined;
    }
  }

  async function readFollowed(): Promise<void> {
    const rows = await readRows(ctx.client, followedElsewhere(node()));
    wanted = new Set(rows.map(({ task }) => task));
  }

  return {
    readFollowed,

    /** Skips pieces up to this id, which were published before this node had readers. */
    async begin(newest: number): Promise<void> {
      position = newest;
      await readFollowed();
    },

    /** Publishes which tasks have readers here, if that has changed. */
    async keepUp(): Promise<void> {
      const now = new Set(followers.streamedTasks());
      const added = [...now.difference(announced)];
      const removed = [...announced.difference(now)];
      if (added.length + removed.length === 0) return;
      const saying = ctx.writer.write({
        added: added.length > 0 ? follow(node(), added) : undefined,
        removed: removed.length > 0 ? unfollow(node(), removed) : undefined,
      });
      publish("followed");
      await saying;
      announced = now;
    },

    /** Called when other nodes have removed what this process had published. */
    forget(): void {
      announced = new Set();
    },

    /** Publishes pieces from this node for readers at other nodes. */
    passOn(deltas: readonly Delta[]): void {
      if (wanted.size === 0) return;
      for (const delta of deltas) {
        if (!wanted.has(delta.task) || waitingSize > MOST_WAITING) continue;
        waiting.push(delta);
        waitingSize += delta.text.length;
      }
      if (waiting.length > 0) writing ??= writeAll();
    },

    /** The pieces that other nodes have published since the last call, of tasks with readers here. */
    async readDeltas(): Promise<Delta[]> {
      const found: Delta[] = [];
      for (let isMore = true; isMore;) {
        const rows = await readRows(ctx.client, deltasAfter(position, node(), PAGE));
        for (const { id, ...piece } of rows) {
          position = id;
          if (announced.has(piece.task)) found.push(piece);
        }
        isMore = rows.length === PAGE;
      }
      return found;
    },

    async stop(): Promise<void> {
      await writing;
    },
  };
}

/** Joins consecutive pieces. */
function joined(pieces: readonly Piece[]): Piece[] {
  const last = new Map<number, Piece>();
  const all: Piece[] = [];
  for (const piece of pieces) {
    const before = last.get(piece.task);
    if (before && before.offset + before.text.length === piece.offset) before.text += piece.text;
    else {
      const copy = { ...piece };
      last.set(piece.task, copy);
      all.push(copy);
    }
  }
  return all;
}
