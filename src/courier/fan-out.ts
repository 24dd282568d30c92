import type { Context } from "../context.ts";
import type { LoggedEvent } from "../domain/event.ts";
import { portionsOf } from "../lib/portions.ts";
import { shownBatches, toDelivery, typesTakenBy } from "../services/deliveries.ts";
import { insertDeliveries, type NewDelivery } from "../store/deliveries.ts";
import { readEvents } from "../store/events.ts";
import { moveCursors, type Waiting, type Webhook } from "../store/webhooks.ts";
import { type Endpoint, isReady } from "./endpoints.ts";

/** Events that are read at once. */
const PAGE = 200;
/** Pages that are read in a turn, for quick endpoints and for others. */
const MOST_PAGES = 4;
/**
 * The most fresh deliveries in total and per endpoint; further events wait in the log, which costs nothing. An
 * endpoint that is slow, or has not answered yet, gets fewer.
 */
const MOST_FRESH = { inAll: 4000, quick: 200, slow: 50 };
/** Each endpoint may have this many, however many endpoints there are, so that it has work in each turn. */
const LEAST_FRESH = 8;
/** How often to store a cursor that only passed events of other types. Reading them again costs little. */
const SAVE_EVERY_MS = 5000;

/**
 * Creates deliveries from the events in the log, starting at each endpoint's cursor. Another process may change the
 * types of an endpoint meanwhile, so a cursor is stored only if its row still has the types that were planned with.
 * Otherwise the same events are planned again; the deliveries that were made of them stay as they are.
 */
export function createFanOut(ctx: Context) {
  /** How far each endpoint is with these types, also if the events since its stored cursor are all of others. */
  const cursors = new Map<number, { at: number; types: string }>();
  const typesOf = new WeakMap<Webhook, ReadonlySet<string>>();
  let savedAt = ctx.clock.monotonic();

  function typesFor({ webhook }: Endpoint): ReadonlySet<string> {
    let types = typesOf.get(webhook);
    if (!types) {
      types = typesTakenBy(webhook);
      typesOf.set(webhook, types);
    }
    return types;
  }

  async function save(endpoints: Endpoint[]): Promise<void> {
    savedAt = ctx.clock.monotonic();
    const moved = endpoints.filter(({ webhook }) => cursorOf(webhook) > webhook.cursor);
    const places = Map.groupBy(moved, ({ webhook }) => cursorOf(webhook));
    if (moved.length > 0)
      await ctx.writer.write({
        cursors: [...places].map(([cursor, group]) => moveCursors(group.map(webhookOf), cursor)),
      });
    for (const { webhook } of moved) webhook.cursor = cursorOf(webhook);
  }

  const cursorOf = ({ seq, cursor }: Webhook) => cursors.get(seq)?.at ?? cursor;

  /** The cursors of endpoints that have room for more fresh deliveries, the furthest behind first. */
  function placesOf(
    endpoints: Endpoint[],
    waiting: ReadonlyMap<number, Waiting>,
    most: number,
    rows: number,
  ): Place[] {
    const freshOf = ({ webhook }: Endpoint) => waiting.get(webhook.seq)?.fresh ?? 0;
    const sharing = endpoints.filter((endpoint) => freshOf(endpoint) > 0).length;
    const share = Math.floor(MOST_FRESH.inAll / Math.max(1, sharing));
    const room = Math.min(most, Math.max(LEAST_FRESH, share));
    const hasRoom = (endpoint: Endpoint) => freshOf(endpoint) < room;
    const groups = Map.groupBy(endpoints.filter(hasRoom), ({ webhook }) => cursorOf(webhook));
    return [...groups]
      .toSorted(([a], [b]) => a - b)
      .flatMap(([cursor, all]) =>
        portionsOf(all, () => 1, rows).map((group) => ({ cursor, group, room })),
      );
  }

  /** Plans deliveries for endpoints with the same cursor, event by event, until there are about `most` rows. */
  function planAt(
    { group, room }: Place,
    { events, shown }: { events: LoggedEvent[]; shown: ReadonlySet<string> },
    most: number,
  ): Planned {
    const rows: NewDelivery[] = [];
    const taken = new Map<Endpoint, number>();
    let last: number | undefined;
    for (const event of events) {
      const takers = group.flatMap((endpoint) => {
        const row = toDelivery(endpoint.webhook, typesFor(endpoint), shown, event);
        return row ? [{ endpoint, row }] : [];
      });
      const isFull = rows.length > 0 && rows.length + takers.length > most;
      if (isFull || takers.some(({ endpoint }) => (taken.get(endpoint) ?? 0) >= room)) break;
      for (const { endpoint, row } of takers) {
        taken.set(endpoint, (taken.get(endpoint) ?? 0) + 1);
        rows.push(row);
      }
      last = event.id;
    }
    return { rows, hooks: group.map(webhookOf), last };
  }

  /** Plans about `most` rows for these cursors. */
  async function plan(
    places: Place[],
    most: number,
    pause: () => Promise<void>,
  ): Promise<{ planned: Planned[]; isMore: boolean }> {
    const planned: Planned[] = [];
    const pages = createPages(ctx);
    let left = most;
    let isMore = false;
    for (const place of places) {
      const events = left > 0 ? await pages.after(place.cursor) : undefined;
      if (!events) return { planned, isMore: true };
      const hooks = place.group.map(webhookOf);
      const shown = await shownBatches(ctx.client, hooks, events);
      const next = planAt(place, { events, shown }, left);
      if (next.last !== undefined) {
        planned.push(next);
        isMore ||= next.last !== events.at(-1)?.id || pages.isCut();
      }
      left -= next.rows.length;
      await pause();
    }
    return { planned, isMore };
  }

  /** Returns the deliveries, and whether the row of an endpoint has changed since it was read. */
  async function carryOut(planned: Planned[]) {
    const added = planned.flatMap(({ rows }) => rows);
    const moves = planned.filter(({ rows }) => rows.length > 0);
    let isOutdated = false;
    if (added.length > 0) {
      const { moved } = await ctx.writer.write({
        added: insertDeliveries(added),
        moved: moves.map(({ hooks, last = 0 }) => moveCursors(hooks, last)),
      });
      isOutdated = moved.changed < moves.reduce((sum, { hooks }) => sum + hooks.length, 0);
    }
    for (const { hooks, last = 0 } of planned)
      for (const hook of hooks) cursors.set(hook.seq, { at: last, types: nameTypes(hook) });
    return { added, isOutdated };
  }

  return {
    /**
     * Called when the endpoints were read again. Cursors only move forward, so the higher one counts. With other types
     * it is the stored one: what was passed over since may be of the new types.
     */
    reset(endpoints: Endpoint[]): void {
      const before = new Map(cursors);
      cursors.clear();
      for (const { webhook } of endpoints) {
        const known = before.get(webhook.seq);
        const types = nameTypes(webhook);
        const passed = known?.types === types ? known.at : 0;
        cursors.set(webhook.seq, { at: Math.max(passed, webhook.cursor), types });
      }
    },

    /**
     * Makes about `most` deliveries for quick endpoints with room (`waiting`), and as many for others, so that quick
     * ones do not wait for slow ones, in one commit. Counts them in `waiting`. `isMore`: the log may have more events.
     * `isOutdated`: the endpoints must be read again.
     */
    async advance(
      endpoints: Endpoint[],
      waiting: Map<number, Waiting>,
      most: number,
      pause: () => Promise<void>,
    ): Promise<{ isMore: boolean; isOutdated: boolean }> {
      const now = ctx.clock.steady();
      const [quick = [], slow = []] = [true, false].map((wanted) =>
        endpoints.filter((endpoint) => isReady(endpoint, now) === wanted),
      );
      const plans = [
        await plan(placesOf(quick, waiting, MOST_FRESH.quick, most), most, pause),
        await plan(placesOf(slow, waiting, MOST_FRESH.slow, most), most, pause),
      ];
      const { added, isOutdated } = await carryOut(plans.flatMap(({ planned }) => planned));
      for (const { webhook: seq } of added) {
        const before = waiting.get(seq) ?? { seq, fresh: 0, replays: 0, dueAt: null };
        waiting.set(seq, { ...before, fresh: before.fresh + 1 });
      }
      await pause();
      if (ctx.clock.monotonic() - savedAt > SAVE_EVERY_MS) await save(endpoints);
      return { isMore: plans.some(({ isMore }) => isMore), isOutdated };
    },
    save,
  };
}

/** Pages of the log, each read once for all cursors within it. */
function createPages({ client }: Context) {
  let page: LoggedEvent[] = [];
  /** The last read covers all events after the cursors up to here. */
  let end = -Infinity;
  let read = 0;
  return {
    /** The events after a cursor; cursors must come in ascending order. `undefined`: enough was read for now. */
    async after(cursor: number): Promise<LoggedEvent[] | undefined> {
      if (cursor < end) return page.filter(({ id }) => id > cursor);
      if (read++ >= MOST_PAGES) return undefined;
      ({ events: page } = await readEvents(client, cursor, Number.MAX_SAFE_INTEGER, PAGE));
      end = page.length === PAGE ? (page.at(-1)?.id ?? cursor) : Infinity;
      return page;
    },
    /** Whether more events follow after the last read. */
    isCut: () => end < Infinity,
  };
}

/** Endpoints with the same cursor, and how many fresh deliveries each may have. */
type Place = { cursor: number; group: Endpoint[]; room: number };

/** Deliveries to be made for endpoints, whose cursor is then `last`. */
type Planned = { rows: NewDelivery[]; hooks: Webhook[]; last: number | undefined };

const webhookOf = ({ webhook }: Endpoint) => webhook;

const nameTypes = ({ events }: Webhook) => JSON.stringify(events);
