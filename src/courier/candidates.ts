import type { Context } from "../context.ts";
import { type EndpointLoad, weightOf } from "../domain/delivery-slots.ts";
import { createOrder } from "../domain/webhook.ts";
import { sharedSteadyNow } from "../services/time.ts";
import { type Delivery, findNextDue, listDue, listFresh } from "../store/deliveries.ts";
import type { Waiting } from "../store/webhooks.ts";
import type { Endpoint } from "./endpoints.ts";

/** Read at once of those that may start: some of the first may have to wait for others. */
const LOOK_AHEAD = 50;

/** What was read is read anew after this time, whatever seems to be the same: other processes may replay. */
const LONGEST_MEMORY_MS = 5000;

/** Which deliveries of an endpoint may start now. */
type Found = {
  live: Delivery[];
  late: Delivery[];
  /** When to look again though nothing happens until then, by the steady clock of this process. */
  nextAt: number;
};

/** An endpoint, and what may start at it. */
export type Candidates = EndpointLoad & Found & { endpoint: Endpoint };

/** An endpoint of which something must be read first: without that, nothing may start. */
type ToRead = { unread: Candidates; read(): Promise<Candidates> };

type Kept = "fresh" | "replays" | "due";

/** What was read of an endpoint's deliveries and has not started. Fresh ones and replays are in the order of their events. */
type Stock = Record<Kept, Delivery[]> & {
  /** How many were read. */
  read: Record<"fresh" | "replays", number>;
  /** When the first is due of those that were not read. */
  nextDueAt: number;
  readAt: number;
};

/** The steady clock of this process, and what is compared with stored moments. */
type Moments = { here: number; shared: number };

/**
 * Looks for what may start at endpoints. What was read is remembered until it has started, since deliveries
 * are begun in far smaller portions than they are read in. Whoever changes them elsewhere says so (`forget`).
 */
export function createLooks(ctx: Context) {
  let stocks = new WeakMap<Endpoint, Stock>();
  let forgotten = 0;

  async function readStock(endpoint: Endpoint, waiting: Waiting, now: Moments): Promise<Stock> {
    const before = forgotten;
    const stock = await read(ctx, endpoint, waiting, now);
    // What was to be forgotten meanwhile may be what was read.
    if (forgotten === before) stocks.set(endpoint, stock);
    return stock;
  }

  return {
    /** `most` deliveries may be under way to it. */
    at(endpoint: Endpoint, most: number, waiting: Waiting | undefined): Candidates | ToRead {
      const now = { here: ctx.clock.steady(), shared: sharedSteadyNow(ctx) };
      const give = (found: Found) => toCandidates(endpoint, most, found, now.here);
      const none = { live: [], late: [] };
      if (endpoint.suspendedUntil > now.here)
        return give({ ...none, nextAt: endpoint.suspendedUntil });
      if (endpoint.underWay.size >= most || !waiting) return give({ ...none, nextAt: Infinity });
      const giveFrom = (stock: Stock) => give(whatMayStart(endpoint, stock, ctx.live.aheadMs));
      const known = stocks.get(endpoint);
      if (known && !isOutdated(known, endpoint, waiting, now)) return giveFrom(known);
      return {
        unread: give({ ...none, nextAt: Infinity }),
        read: async () => giveFrom(await readStock(endpoint, waiting, now)),
      };
    },

    /** The delivery starts. */
    take(endpoint: Endpoint, { seq }: Delivery): void {
      const stock = stocks.get(endpoint);
      if (!stock) return;
      for (const kind of ["fresh", "replays", "due"] as const)
        stock[kind] = stock[kind].filter((one) => one.seq !== seq);
    },

    /** A delivery is to be tried again at this time. */
    expect(endpoint: Endpoint, nextAt: number): void {
      const stock = stocks.get(endpoint);
      if (stock) stock.nextDueAt = Math.min(stock.nextDueAt, nextAt);
    },

    /** What is stored of an endpoint's deliveries, or of all, may be different from what was read. */
    forget(endpoint?: Endpoint): void {
      forgotten++;
      if (endpoint) stocks.delete(endpoint);
      else stocks = new WeakMap();
    },
  };
}

/** Whether more waits than was read, of which little is left, or less. */
function isOutdated(stock: Stock, endpoint: Endpoint, waiting: Waiting, now: Moments): boolean {
  if (now.here >= stock.readAt + LONGEST_MEMORY_MS) return true;
  const underWay = { fresh: 0, replays: 0, due: 0 };
  for (const { delivery } of endpoint.underWay.values()) underWay[kindOf(delivery)]++;
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
  // One that ends while the lists are on their way stands in them as if nobody had sent it.
  const before = new Set(endpoint.underWay.keys());
  const isDue = dueAt !== null && dueAt <= now.shared;
  const list = (isReplay: boolean) => listFresh(db, seq, { isReplay, limit: LOOK_AHEAD });
  const due = isDue ? await listDue(db, seq, now.shared, LOOK_AHEAD) : [];
  const again = replays > 0 ? await list(true) : [];
  const anew = fresh > 0 ? await list(false) : [];
  const isLeft = (delivery: Delivery) =>
    !before.has(delivery.seq) && !endpoint.underWay.has(delivery.seq);
  const isCut = due.length === LOOK_AHEAD;
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

/** What may start of what was read, as far as the order of the events allows it. */
function whatMayStart(endpoint: Endpoint, stock: Stock, aheadMs: number): Found {
  const inOrder = (deliveries: Delivery[], kind: "fresh" | "replays") => {
    const order = createOrder();
    for (const { delivery } of endpoint.underWay.values())
      if (kindOf(delivery) === kind) order.take(delivery);
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
    inFlight: endpoint.underWay.size,
    ready: found.live.length + found.late.length,
    weight: weightOf(latencyMs),
    lastServed: endpoint.lastServed,
    most,
    latencyMs,
  };
}
