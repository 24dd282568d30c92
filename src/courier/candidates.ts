import type { Context } from "../context.ts";
import { type EndpointLoad, weightOf } from "../domain/delivery-slots.ts";
import { createOrder } from "../domain/webhook.ts";
import { sharedSteadyNow } from "../services/time.ts";
import { type Delivery, findNextDue, listDue, listFresh } from "../store/deliveries.ts";
import type { Waiting } from "../store/webhooks.ts";
import type { Endpoint } from "./endpoints.ts";

/** How many deliveries are read at once besides those under way, because some may have to wait for others. */
const LOOK_AHEAD = 128;

/** An endpoint starts no more while so many outcomes are not stored. After a kill they would be sent again. */
const MOST_UNSAVED = 128;

/** After this time deliveries are read again in any case, because other processes may have requested replays. */
const LONGEST_MEMORY_MS = 5000;

/** Which deliveries of an endpoint may start now. */
type Found = {
  live: Delivery[];
  late: Delivery[];
  /** When to check again even if nothing happens until then, by the steady clock of this process. */
  nextAt: number;
};

/** An endpoint, and its deliveries that may start. */
export type Candidates = EndpointLoad & Found & { endpoint: Endpoint };

/** An endpoint whose deliveries must be read before any may start. */
type ToRead = { unread: Candidates; read(): Promise<Candidates> };

const KINDS = ["fresh", "replays", "due"] as const;
type Kept = (typeof KINDS)[number];

/**
 * Deliveries of an endpoint that were read and have not started. Fresh ones and replays are in the order of their
 * events.
 */
type Stock = Record<Kept, Delivery[]> & {
  /** How many were read. */
  read: Record<"fresh" | "replays", number>;
  /** When the first delivery that was not read is due. */
  nextDueAt: number;
  readAt: number;
};

/** The time of this process's steady clock, and the time to compare with stored ones. */
type Moments = { here: number; shared: number };

/**
 * Finds the deliveries that may start. Deliveries that were read are kept until they start, because they are started
 * in far smaller portions than they are read in. Code that changes them elsewhere calls `forget`.
 */
export function createLooks(ctx: Context) {
  let stocks = new WeakMap<Endpoint, Stock>();
  let forgotten = 0;

  async function readStock(endpoint: Endpoint, waiting: Waiting, now: Moments): Promise<Stock> {
    const before = forgotten;
    const stock = await read(ctx, endpoint, waiting, now);
    // If `forget` was called meanwhile, what was read may be out of date.
    if (forgotten === before) stocks.set(endpoint, stock);
    return stock;
  }

  return {
    /** `most`: how many deliveries to it may be in flight. */
    at(endpoint: Endpoint, most: number, waiting: Waiting | undefined): Candidates | ToRead {
      const now = { here: ctx.clock.steady(), shared: sharedSteadyNow(ctx) };
      const give = (found: Found) => toCandidates(endpoint, most, found, now.here);
      const none = { live: [], late: [] };
      if (endpoint.suspendedUntil > now.here)
        return give({ ...none, nextAt: endpoint.suspendedUntil });
      if (endpoint.inFlight.size >= most || !waiting) return give({ ...none, nextAt: Infinity });
      const giveFrom = (stock: Stock) => give(whatMayStart(endpoint, stock, ctx.live.aheadMs));
      const known = stocks.get(endpoint);
      if (known && !isOutdated(known, endpoint, waiting, now)) return giveFrom(known);
      return {
        unread: give({ ...none, nextAt: Infinity }),
        read: async () => giveFrom(await readStock(endpoint, waiting, now)),
      };
    },

    /** The deliveries that were read and may start. `most` as in `at`. */
    kept(endpoint: Endpoint, most: number): Candidates | undefined {
      const stock = stocks.get(endpoint);
      const now = ctx.clock.steady();
      if (!stock || endpoint.suspendedUntil > now || endpoint.inFlight.size >= most)
        return undefined;
      return toCandidates(endpoint, most, whatMayStart(endpoint, stock, ctx.live.aheadMs), now);
    },

    /** Removes a delivery that starts. `false`: it has started already, or was forgotten. */
    take(endpoint: Endpoint, { seq }: Delivery): boolean {
      const stock = stocks.get(endpoint);
      const kind = KINDS.find((one) => stock?.[one].some((delivery) => delivery.seq === seq));
      if (!stock || !kind) return false;
      stock[kind] = stock[kind].filter((delivery) => delivery.seq !== seq);
      return true;
    },

    /** Notes that a delivery is to be retried at this time. */
    expect(endpoint: Endpoint, nextAt: number): void {
      const stock = stocks.get(endpoint);
      if (stock) stock.nextDueAt = Math.min(stock.nextDueAt, nextAt);
    },

    /** Drops what was read of an endpoint, or of all, because the stored deliveries may have changed. */
    forget(endpoint?: Endpoint): void {
      forgotten++;
      if (endpoint) stocks.delete(endpoint);
      else stocks = new WeakMap();
    },
  };
}

/**
 * Whether the stock must be read again: little of it is left and more waits in the database, or less waits than was
 * read.
 */
function isOutdated(stock: Stock, endpoint: Endpoint, waiting: Waiting, now: Moments): boolean {
  if (now.here >= stock.readAt + LONGEST_MEMORY_MS) return true;
  const underWay = { fresh: 0, replays: 0, due: 0 };
  for (const delivery of endpoint.underWay()) underWay[kindOf(delivery)]++;
  const differs = (kind: "fresh" | "replays") => {
    const left = stock[kind].length;
    const isLittle = left <= stock.read[kind] / 2;
    return waiting[kind] < left || (isLittle && waiting[kind] > left + underWay[kind]);
  };
  const isUnread = underWay.due === 0 && waiting.dueAt !== null && waiting.dueAt <= now.shared;
  const isDue = stock.due.length === 0 && (isUnread || stock.nextDueAt <= now.shared);
  return differs("fresh") || differs("replays") || isDue;
}

function kindOf({ nextAt, isReplay }: Delivery): Kept {
  return nextAt !== null ? "due" : isReplay ? "replays" : "fresh";
}

async function read(
  { db }: Context,
  endpoint: Endpoint,
  { fresh, replays, dueAt }: Waiting,
  now: Moments,
): Promise<Stock> {
  const { seq } = endpoint.webhook;
  // A delivery that ends while the lists are being read is still in them as if it had not been sent.
  const before = new Set(endpoint.underWay().map((delivery) => delivery.seq));
  const limit = LOOK_AHEAD + before.size;
  const isDue = dueAt !== null && dueAt <= now.shared;
  const list = (isReplay: boolean) => listFresh(db, seq, { isReplay, limit });
  const due = isDue ? await listDue(db, seq, now.shared, limit) : [];
  const again = replays > 0 ? await list(true) : [];
  const anew = fresh > 0 ? await list(false) : [];
  for (const delivery of endpoint.underWay()) before.add(delivery.seq);
  const isLeft = (delivery: Delivery) => !before.has(delivery.seq);
  const isCut = due.length === limit;
  const nextDueAt = isCut ? now.shared : isDue ? await findNextDue(db, seq, now.shared) : dueAt;
  return {
    fresh: anew.filter(isLeft),
    replays: again.filter(isLeft),
    due: due.filter(isLeft),
    read: { fresh: anew.length, replays: again.length },
    nextDueAt: nextDueAt ?? Infinity,
    readAt: now.here,
  };
}

/** The deliveries of the stock that may start, as far as the order of the events allows. */
function whatMayStart(endpoint: Endpoint, stock: Stock, aheadMs: number): Found {
  const inOrder = (deliveries: Delivery[], kind: "fresh" | "replays") => {
    const order = createOrder();
    for (const delivery of endpoint.underWay()) if (kindOf(delivery) === kind) order.take(delivery);
    return deliveries.filter((delivery) => order.take(delivery));
  };
  return {
    live: inOrder(stock.fresh, "fresh"),
    late: [...stock.due, ...inOrder(stock.replays, "replays")],
    nextAt: stock.due.length > 0 ? Infinity : stock.nextDueAt - aheadMs,
  };
}

function toCandidates(endpoint: Endpoint, most: number, found: Found, now: number): Candidates {
  const latencyMs = endpoint.latencyAt(now);
  return {
    ...found,
    endpoint,
    inFlight: endpoint.inFlight.size,
    ready: Math.min(
      found.live.length + found.late.length,
      Math.max(0, MOST_UNSAVED - endpoint.unsaved.size),
    ),
    weight: weightOf(latencyMs),
    lastServed: endpoint.lastServed,
    most,
    latencyMs,
  };
}
