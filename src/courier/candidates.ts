import type { Context } from "../context.ts";
import { type EndpointLoad, weightOf } from "../domain/delivery-slots.ts";
import { createOrder } from "../domain/webhook.ts";
import { sharedSteadyNow } from "../services/time.ts";
import { type Delivery, findNextDue, listDue, listFresh } from "../store/deliveries.ts";
import type { Waiting } from "../store/webhooks.ts";
import type { Endpoint } from "./endpoints.ts";

/** Looked at to find deliveries that may start now: some of the first may have to wait for others. */
const LOOK_AHEAD = 50;

/** What was found is looked for anew after this time, whatever seems to be the same. */
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

const NOTHING: Found = { live: [], late: [], nextAt: Infinity };

/** `isTrue`: it is what `waiting` says, of which a part may have ended before it was read. */
type Look = { found: Found; isTrue: boolean; changes: number; waiting: Waiting; at: number };

/**
 * Looks for what may start at endpoints. What was found holds until a delivery to the endpoint begins
 * or ends, another is due, or other ones wait: one that hangs is not read anew each turn.
 */
export function createLooks(ctx: Context) {
  const looks = new WeakMap<Endpoint, Look>();

  async function find(endpoint: Endpoint, waiting: Waiting, now: number): Promise<Found> {
    const last = looks.get(endpoint);
    if (
      last?.isTrue &&
      last.changes === endpoint.changes &&
      now < Math.min(last.found.nextAt, last.at + LONGEST_MEMORY_MS) &&
      isSame(last.waiting, waiting)
    )
      return last.found;
    const { changes } = endpoint;
    const { isTrue, ...found } = await read(ctx, endpoint, waiting);
    looks.set(endpoint, { found, isTrue, changes, waiting, at: now });
    return found;
  }

  return {
    /** `most` deliveries may be under way to it. */
    async at(endpoint: Endpoint, most: number, waiting: Waiting | undefined): Promise<Candidates> {
      const now = ctx.clock.steady();
      const isSuspended = endpoint.suspendedUntil > now;
      if (isSuspended)
        return toCandidates(endpoint, most, { ...NOTHING, nextAt: endpoint.suspendedUntil }, now);
      const isBusy = endpoint.underWay.size >= most;
      const found = isBusy || !waiting ? NOTHING : await find(endpoint, waiting, now);
      return toCandidates(endpoint, most, found, now);
    },
  };
}

function isSame(a: Waiting, b: Waiting): boolean {
  return a.fresh === b.fresh && a.replays === b.replays && a.dueAt === b.dueAt;
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

/** Reads what may start at an endpoint, as far as the order of its events allows it. */
async function read(
  ctx: Context,
  endpoint: Endpoint,
  { fresh, replays, dueAt }: Waiting,
): Promise<Found & Pick<Look, "isTrue">> {
  const { db } = ctx;
  const { seq } = endpoint.webhook;
  const now = sharedSteadyNow(ctx);
  // One that ends while the lists are on their way stands in them as if nobody had sent it.
  const before = new Set(endpoint.underWay.keys());
  const isDue = dueAt !== null && dueAt <= now;
  const list = (isReplay: boolean) => listFresh(db, seq, { isReplay, limit: LOOK_AHEAD });
  const due = isDue ? await listDue(db, seq, now, LOOK_AHEAD) : [];
  const again = replays > 0 ? await list(true) : [];
  const anew = fresh > 0 ? await list(false) : [];
  const isFree = (delivery: Delivery) =>
    !before.has(delivery.seq) && !endpoint.underWay.has(delivery.seq);
  const inOrder = (deliveries: Delivery[], isReplay: boolean) => {
    const order = createOrder();
    for (const { delivery } of endpoint.underWay.values())
      if (delivery.nextAt === null && delivery.isReplay === isReplay) order.take(delivery);
    return deliveries.filter((delivery) => isFree(delivery) && order.take(delivery));
  };
  const isAll = (listed: Delivery[], count: number) =>
    listed.length === Math.min(count, LOOK_AHEAD);
  return {
    isTrue: isAll(anew, fresh) && isAll(again, replays),
    live: inOrder(anew, false),
    late: [...due.filter(isFree), ...inOrder(again, true)],
    nextAt: ((isDue ? await findNextDue(db, seq, now) : dueAt) ?? Infinity) - ctx.live.aheadMs,
  };
}
