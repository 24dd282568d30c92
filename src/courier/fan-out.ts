import type { Context } from "../context.ts";
import { isQuick } from "../domain/delivery-slots.ts";
import { createPauses } from "../lib/clock.ts";
import { portionsOf } from "../lib/portions.ts";
import { deliveriesFor } from "../services/deliveries.ts";
import { insertDeliveries } from "../store/deliveries.ts";
import { readEvents } from "../store/events.ts";
import { moveCursors, type Waiting } from "../store/webhooks.ts";
import type { Endpoint } from "./endpoints.ts";

const PAGE = 200;
/** Deliveries that are made in one commit, so that it holds nothing up. */
const MOST_ROWS = 250;
/**
 * Fresh deliveries that an endpoint may have: what follows waits in the log, which it costs nothing.
 * One that is slow, or has not answered yet, takes few in a turn.
 */
const MOST_FRESH = { quick: 200, slow: 50 };
/** Places in the log that are read in a turn, for quick endpoints and for others; the furthest behind are first. */
const MOST_GROUPS = 4;
/** A cursor that only passed what its endpoint does not take is written this often; read again, that costs nothing. */
const SAVE_EVERY_MS = 5000;

/** Makes deliveries of what the log says, from each endpoint's cursor on. */
export function createFanOut(ctx: Context) {
  const cursors = new Map<number, number>();
  let savedAt = ctx.clock.monotonic();

  /** Reads one page for the endpoints that stand at the same place. */
  async function advanceGroup({
    cursor,
    group,
    most,
  }: Place): Promise<Progress & { hasMoved: boolean }> {
    const page = Math.max(1, Math.min(PAGE, most, Math.floor(MOST_ROWS / group.length)));
    const { events } = await readEvents(ctx.client, cursor, Number.MAX_SAFE_INTEGER, page);
    const last = events.at(-1)?.id;
    if (last === undefined) return { hasAdded: false, isMore: false, hasMoved: false };
    const hooks = group.map(({ webhook }) => webhook);
    const rows = await deliveriesFor(ctx.client, hooks, events);
    const seqs = group.map(seqOf);
    if (rows.length > 0)
      await ctx.writer.write({ added: insertDeliveries(rows), moved: moveCursors(seqs, last) });
    for (const seq of seqs) cursors.set(seq, last);
    return { hasAdded: rows.length > 0, isMore: events.length === page, hasMoved: true };
  }

  async function save(endpoints: Endpoint[]): Promise<void> {
    savedAt = ctx.clock.monotonic();
    const moved = endpoints.filter(({ webhook }) => cursorOf(webhook) > webhook.cursor);
    const places = Map.groupBy(moved, ({ webhook }) => cursorOf(webhook));
    if (moved.length > 0)
      await ctx.writer.write({
        cursors: [...places].map(([cursor, group]) => moveCursors(group.map(seqOf), cursor)),
      });
    for (const { webhook } of moved) webhook.cursor = cursorOf(webhook);
  }

  const cursorOf = ({ seq, cursor }: Endpoint["webhook"]) => cursors.get(seq) ?? cursor;

  /** Where endpoints stand that have room for `most` fresh deliveries. */
  function placesOf(
    endpoints: Endpoint[],
    waiting: ReadonlyMap<number, Waiting>,
    most: number,
  ): Place[] {
    const hasRoom = ({ webhook }: Endpoint) => (waiting.get(webhook.seq)?.fresh ?? 0) < most;
    const groups = Map.groupBy(endpoints.filter(hasRoom), ({ webhook }) => cursorOf(webhook));
    return [...groups]
      .toSorted(([a], [b]) => a - b)
      .flatMap(([cursor, all]) =>
        portionsOf(all, () => 1, MOST_ROWS).map((group) => ({ cursor, group, most })),
      );
  }

  return {
    /** The endpoints were read anew: cursors only ever move on, so that the higher one holds. */
    reset(endpoints: Endpoint[]): void {
      const before = new Map(cursors);
      cursors.clear();
      for (const { webhook } of endpoints)
        cursors.set(webhook.seq, Math.max(before.get(webhook.seq) ?? 0, webhook.cursor));
    },

    /** Goes one page further for endpoints with room (`waiting`); quick endpoints do not wait for others. */
    async advance(endpoints: Endpoint[], waiting: ReadonlyMap<number, Waiting>): Promise<Progress> {
      const now = ctx.clock.steady();
      const pause = createPauses(ctx.clock);
      const [slow = [], quick = []] = [false, true].map((wanted) =>
        endpoints.filter((endpoint) => isQuick(endpoint.latencyAt(now)) === wanted),
      );
      const progress = { hasAdded: false, isMore: false };
      for (const places of [
        placesOf(quick, waiting, MOST_FRESH.quick),
        placesOf(slow, waiting, MOST_FRESH.slow),
      ])
        for (const place of places.slice(0, MOST_GROUPS)) {
          const { hasAdded, isMore, hasMoved } = await advanceGroup(place);
          progress.hasAdded ||= hasAdded;
          progress.isMore ||= isMore || (hasMoved && places.length > MOST_GROUPS);
          await pause();
        }
      if (ctx.clock.monotonic() - savedAt > SAVE_EVERY_MS) await save(endpoints);
      return progress;
    },
    save,
  };
}

/** Endpoints that stand at the same place in the log, and how many fresh deliveries each may have. */
type Place = { cursor: number; group: Endpoint[]; most: number };

/** Whether deliveries were made, and whether the log may have more to make. */
type Progress = { hasAdded: boolean; isMore: boolean };

const seqOf = ({ webhook }: Endpoint) => webhook.seq;
