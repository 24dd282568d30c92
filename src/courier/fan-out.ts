import type { Context } from "../context.ts";
import { createPauses } from "../lib/clock.ts";
import { toDelivery, webhookTypes } from "../services/deliveries.ts";
import { insertDeliveries, countFresh } from "../store/deliveries.ts";
import { readEvents } from "../store/events.ts";
import { moveCursors } from "../store/webhooks.ts";
import type { Endpoint } from "./endpoints.ts";

const PAGE = 200;
/** Deliveries that are made in one commit, so that it holds nothing up. */
const MOST_ROWS = 1000;
/** Fresh deliveries that an endpoint may have: what follows waits in the log, which it costs nothing. */
const MOST_FRESH = 500;
/** One that has so many is not looked at again before as many deliveries to it have ended. */
const RECOUNT_AFTER = 100;
/** A cursor that only passed what its endpoint does not take is written this often; read again, that costs nothing. */
const SAVE_EVERY_MS = 5000;

/** Makes deliveries of what the log says, from each endpoint's cursor on. */
export function createFanOut(ctx: Context) {
  const cursors = new Map<number, number>();
  /** How many deliveries must have ended before the fresh ones of an endpoint are counted again. */
  const nextCounts = new Map<number, number>();
  let savedAt = ctx.clock.monotonic();

  /** Reads one page for the endpoints that stand at the same place. Returns whether there may be more. */
  async function advanceGroup(cursor: number, group: Endpoint[]): Promise<boolean> {
    const page = Math.max(1, Math.min(PAGE, Math.floor(MOST_ROWS / group.length)));
    const { events } = await readEvents(ctx.client, cursor, Number.MAX_SAFE_INTEGER, page);
    const last = events.at(-1)?.id;
    if (last === undefined) return false;
    const rows = group.flatMap(({ webhook }) => {
      const types = new Set(webhook.events.flatMap(webhookTypes));
      return events
        .filter(({ type }) => types.has(type))
        .map((event) => toDelivery(webhook.seq, event));
    });
    const seqs = group.map(({ webhook }) => webhook.seq);
    if (rows.length > 0)
      await ctx.writer.write({ added: insertDeliveries(rows), moved: moveCursors(seqs, last) });
    for (const seq of seqs) cursors.set(seq, last);
    return events.length === page;
  }

  async function save(endpoints: Endpoint[]): Promise<void> {
    savedAt = ctx.clock.monotonic();
    const moved = endpoints.filter(({ webhook }) => cursorOf(webhook) > webhook.cursor);
    if (moved.length > 0)
      await ctx.writer.write({
        cursors: moved.map(({ webhook }) => moveCursors([webhook.seq], cursorOf(webhook))),
      });
    for (const { webhook } of moved) webhook.cursor = cursorOf(webhook);
  }

  const cursorOf = ({ seq, cursor }: Endpoint["webhook"]) => cursors.get(seq) ?? cursor;

  return {
    /** The endpoints were read anew: cursors only ever move on, so that the higher one holds. */
    reset(endpoints: Endpoint[]): void {
      const before = new Map(cursors);
      cursors.clear();
      nextCounts.clear();
      for (const { webhook } of endpoints)
        cursors.set(webhook.seq, Math.max(before.get(webhook.seq) ?? 0, webhook.cursor));
    },

    /** Goes one page further where there is room. Returns whether there may be more. */
    async advance(endpoints: Endpoint[]): Promise<boolean> {
      const groups = new Map<number, Endpoint[]>();
      const pause = createPauses(ctx.clock);
      for (const endpoint of endpoints) {
        const { seq } = endpoint.webhook;
        if (endpoint.ended < (nextCounts.get(seq) ?? 0)) continue;
        await pause();
        if ((await countFresh(ctx.db, seq, MOST_FRESH)) >= MOST_FRESH) {
          nextCounts.set(seq, endpoint.ended + RECOUNT_AFTER);
          continue;
        }
        const cursor = cursorOf(endpoint.webhook);
        groups.set(cursor, [...(groups.get(cursor) ?? []), endpoint]);
      }
      let isMore = false;
      for (const [cursor, group] of groups) {
        isMore = (await advanceGroup(cursor, group)) || isMore;
        await pause();
      }
      if (ctx.clock.monotonic() - savedAt > SAVE_EVERY_MS) await save(endpoints);
      return isMore;
    },
    save,
  };
}
