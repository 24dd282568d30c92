import type { Context } from "../context.ts";
import { type EndpointLoad, weightOf } from "../domain/delivery-slots.ts";
import { createOrder } from "../domain/webhook.ts";
import { type Delivery, findNextDue, listDue, listFresh } from "../store/deliveries.ts";
import type { Endpoint } from "./endpoints.ts";

/** Looked at to find deliveries that may start now: some of the first may have to wait for others. */
const LOOK_AHEAD = 50;

/** What may start at an endpoint now. */
export type Candidates = EndpointLoad & {
  endpoint: Endpoint;
  live: Delivery[];
  late: Delivery[];
  /** When to look again though nothing happens until then. */
  nextAt: number;
};

/** An endpoint that may start nothing now. */
export function noCandidates(endpoint: Endpoint, most: number, now: number): Candidates {
  const latencyMs = endpoint.latencyAt(now);
  return {
    endpoint,
    inFlight: endpoint.underWay.size,
    ready: 0,
    weight: weightOf(latencyMs),
    lastServed: endpoint.lastServed,
    most,
    latencyMs,
    live: [],
    late: [],
    nextAt: Infinity,
  };
}

/** Reads what may start at an endpoint, as far as the order of its events allows it. */
export async function readCandidates(
  { db, clock }: Context,
  endpoint: Endpoint,
  most: number,
): Promise<Candidates> {
  const now = clock.steady();
  const { seq } = endpoint.webhook;
  // One that ends while the lists are on their way stands in them as if nobody had sent it.
  const before = new Set(endpoint.underWay.keys());
  const due = await listDue(db, seq, now, LOOK_AHEAD);
  const replays = await listFresh(db, seq, { isReplay: true, limit: LOOK_AHEAD });
  const fresh = await listFresh(db, seq, { isReplay: false, limit: LOOK_AHEAD });
  const isFree = (delivery: Delivery) =>
    !before.has(delivery.seq) && !endpoint.underWay.has(delivery.seq);
  const inOrder = (deliveries: Delivery[], isReplay: boolean) => {
    const order = createOrder();
    for (const { delivery } of endpoint.underWay.values())
      if (delivery.nextAt === null && delivery.isReplay === isReplay) order.take(delivery);
    return deliveries.filter((delivery) => isFree(delivery) && order.take(delivery));
  };
  const live = inOrder(fresh, false);
  const late = [...due.filter(isFree), ...inOrder(replays, true)];
  return {
    ...noCandidates(endpoint, most, now),
    live,
    late,
    ready: live.length + late.length,
    nextAt: (await findNextDue(db, seq, now)) ?? Infinity,
  };
}
