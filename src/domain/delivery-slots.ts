import { fillSlots, type Sharer } from "./share.ts";

/** What the courier knows of an endpoint when it shares the slots. */
export type EndpointLoad = Sharer & {
  /** The most deliveries to it at once. */
  most: number;
  latencyMs: number;
};

/** An endpoint that answers within this is quick. */
const QUICK_MS = 1000;
/** An endpoint that is faster than this gets no larger share. */
const BEST_MS = 100;
/** Assumed latency of an endpoint that has not answered yet: it is not known to be quick. */
export const FIRST_LATENCY_MS = 2 * QUICK_MS;

/** Whether an endpoint that takes this long to answer is quick. */
export function isQuick(latencyMs: number): boolean {
  return latencyMs <= QUICK_MS;
}

/** The weight of an endpoint: a quick one delivers more per slot. */
export function weightOf(latencyMs: number): number {
  return QUICK_MS / Math.max(BEST_MS, latencyMs);
}

/**
 * How many deliveries may be in flight in all when an endpoint with `calls` in flight starts one more. The last
 * eighth of the slots is reserved for endpoints with nothing in flight, so that busy ones keep none waiting, and the
 * eighth before it for quick ones. Slow endpoints share half of all slots as long as each has less in flight than its
 * share, which shrinks with its latency.
 */
export function deliveryCeiling(
  { most, latencyMs }: Pick<EndpointLoad, "most" | "latencyMs">,
  calls: number,
  capacity: number,
): number {
  if (calls === 0) return capacity;
  if (isQuick(latencyMs)) return eighthsOf(capacity, 7);
  const share = Math.max(1, Math.floor((most * QUICK_MS) / latencyMs));
  return eighthsOf(capacity, calls < share ? 5 : 4);
}

/**
 * How many deliveries to slow endpoints may be in flight when one with nothing in flight starts one. So no number of
 * endpoints that hang keeps a quick one waiting.
 */
function slowCeiling(capacity: number): number {
  return eighthsOf(capacity, 6);
}

function eighthsOf(capacity: number, eighths: number): number {
  return Math.ceil((capacity * eighths) / 8);
}

/** How many deliveries each endpoint starts now, `most` in all; those that start none are left out. */
export function shareDeliveries<Load extends EndpointLoad>(
  endpoints: readonly Load[],
  capacity: number,
  most = Infinity,
): Map<Load, number> {
  const isSlow = ({ latencyMs }: Load) => !isQuick(latencyMs);
  let slow = endpoints.filter(isSlow).reduce((sum, { inFlight }) => sum + inFlight, 0);
  return fillSlots(endpoints, {
    capacity,
    most,
    mayTake: (endpoint, calls, total) =>
      calls < endpoint.most &&
      total < deliveryCeiling(endpoint, calls, capacity) &&
      (calls > 0 || !isSlow(endpoint) || slow < slowCeiling(capacity)),
    onTake: (endpoint) => {
      if (isSlow(endpoint)) slow++;
    },
  });
}

/** Deliveries of what happens now, and those that have waited: retries and replays. */
export type Kind = "live" | "late";

/** When both kinds want slots, live deliveries get three of four. */
const LIVE_WEIGHT = 3;

/**
 * Which kind an endpoint starts next, so that neither kind starves. The last of several slots is never given to late
 * deliveries. `undefined`: neither.
 */
export function nextKind(
  held: Record<Kind, number>,
  waiting: Record<Kind, number>,
  { most, last }: { most: number; last: Kind },
): Kind | undefined {
  const isFull = most > 1 && held.late >= most - 1;
  const canLate = waiting.late > 0 && !isFull;
  if (waiting.live === 0) return canLate ? "late" : undefined;
  if (!canLate) return "live";
  const difference = held.live / LIVE_WEIGHT - held.late;
  if (difference === 0) return last === "live" ? "late" : "live";
  return difference < 0 ? "live" : "late";
}
