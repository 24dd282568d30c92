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

/** The tasks whose answers are read here as they are streamed. */
export type Followers = { streamedTasks: () => Iterable<number> };

export type FollowingOptions = {
  node: () => number;
  followers: Followers;
  publish: (topic: Topic) => void;
};

/** Pieces that are read at a time, and characters that wait to be published. */
const PAGE = 500;
const MOST_WAITING = 1_000_000;

/**
 * Pieces of streamed answers on their way between nodes. A node says which tasks are read at it; those
 * that call for one of these write its pieces down as they come, in one commit what came during the one
 * before. Pieces are worth nothing later: what cannot be published in time is left out, and readers see by
 * the offset of the next that they have missed some.
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

    /** Pieces up to this id were published before anybody here could want them. */
    async begin(newest: number): Promise<void> {
      position = newest;
      await readFollowed();
    },

    /** Says what is read here, where that has changed. */
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

    /** Others have removed what this process had said. */
    forget(): void {
      announced = new Set();
    },

    /** Publishes pieces that came here to those who read them elsewhere. */
    passOn(deltas: readonly Delta[]): void {
      if (wanted.size === 0) return;
      for (const delta of deltas) {
        if (!wanted.has(delta.task) || waitingSize > MOST_WAITING) continue;
        waiting.push(delta);
        waitingSize += delta.text.length;
      }
      if (waiting.length > 0) writing ??= writeAll();
    },

    /** What was published by others since the last call, of tasks that are read here. */
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

/** Pieces that follow one another as one. */
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
