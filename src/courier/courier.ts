import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { type Kind, nextKind, shareDeliveries } from "../domain/delivery-slots.ts";
import { nextAttemptAt } from "../domain/webhook.ts";
import { background } from "../lib/background.ts";
import { createMeeting, endsWithin } from "../lib/clock.ts";
import { between, createCourtesy } from "../lib/courtesy.ts";
import { createLoop, type More } from "../lib/loop.ts";
import { sharedSteadyNow } from "../services/time.ts";
import { attemptDelivery } from "../services/webhook-attempt.ts";
import { messageId } from "../services/webhook-message.ts";
import type { Delivery } from "../store/deliveries.ts";
import { readRows } from "../store/rows.ts";
import { listActiveWebhooks, type Waiting, WAITING_AT_WEBHOOKS } from "../store/webhooks.ts";
import { type Candidates, createLooks } from "./candidates.ts";
import { createEndpoints, type Endpoint, isReady } from "./endpoints.ts";
import { createFanOut } from "./fan-out.ts";
import { createLease } from "./lease.ts";
import { report } from "./report.ts";

export type Courier = {
  start(): void;
  /** Starts no more deliveries; those in flight get `graceMs`. */
  stop(graceMs: number): Promise<void>;
};

export type CourierOptions = {
  /** The most deliveries in flight, to one endpoint and in total. */
  perEndpoint: number;
  inAll: number;
};

const DEFAULTS: CourierOptions = { perEndpoint: 32, inAll: 256 };
/** Backstop for lost hints. */
const POLL_MS = 1000;
/** The pause between turns, so that events within it share a turn, and requests go before deliveries. */
const PAUSE_MS = { idle: 10, busy: 20 };
/**
 * How many deliveries a turn starts; how many rows it makes in one commit; and how long ended deliveries wait to
 * share a commit.
 */
const STARTS = { alone: 128, asked: 16 };
const ROWS = { alone: 128, asked: 32 };
/**
 * A commit blocks the event loop for some milliseconds, so one commit per delivery would leave little time for
 * requests.
 */
const REPORT_MS = { alone: 20, asked: 50 };
/** If clients wait for answers for this share of the time, requests are assumed to come all the time. */
const ASKED_SHARE = 1 / 2;
/** Fewer waiting deliveries than these are sent so quickly that requests are hardly delayed. */
const LARGE_BACKLOG = 1000;

/*
 * Sends events to webhooks, at least once each. The log is the outbox: each endpoint has a cursor in
 * it, and a row of deliveries is made for what follows the cursor in the commit that moves it on. On
 * a shared database the process that holds the lease does it, the others wait for it to lapse.
 *
 * Of a delivery:
 *   fresh      not attempted. Starts in the order of the events as far as `createOrder` asks for it,
 *              when the endpoint has a slot and is not suspended. A delivery that a client has requested again
 *              (a replay) has an order of its own.
 *   in flight  known only to this process, and holds a slot until the endpoint answers. Until the outcome is stored,
 *              a kill of the process leaves it fresh or waiting, and it is sent again under the same webhook-id.
 *   waiting    failed; the next attempt follows at its time, in no order. So an event that an
 *              endpoint refuses delays those behind it by one attempt and no more.
 *   delivered  or failed for good, after the last attempt or a 410.
 *
 * Of an endpoint: healthy; suspended for a while, a minute at most, after five attempts in a row
 * that got no answer or a 5xx, then tried with one delivery at a time, so that one that is down costs
 * little; one that has not answered yet gets one at a time, too. Disabled by a 410, or when a delivery
 * has failed for good and none succeeded since its first attempt: three days and more.
 *
 * The loop works in turns: it makes deliveries, looks at each endpoint for what may start, and shares
 * the free slots (`delivery-slots.ts`): between the endpoints, so that those that answer slowly or not
 * at all keep none waiting that is quick; and at each between what happens now and what is late
 * (replays and retries), so that ten thousand of these keep none of those waiting. While most slots are free, a
 * delivery that ends passes its slot on without waiting for a turn. The loop is nudged by hints, by deliveries that
 * end, by the poll, and when the next attempt is due.
 *
 * It shares the event loop with requests, which go first: the more of them come, and the more deliveries to quick
 * endpoints wait, the less a turn does, and the longer it rests in between (`courtesy.ts`).
 */
export function createCourier(ctx: Context, given: Partial<CourierOptions> = {}): Courier {
  const log = getLogger(["gptrunner", "courier"]);
  const options = { ...DEFAULTS, ...given };
  const lease = createLease(ctx, "courier");
  const endpoints = createEndpoints();
  const looks = createLooks(ctx);
  let backlog = 0;
  const pressure = () =>
    Math.min(1, ctx.load.requestShare() / ASKED_SHARE) * Math.min(1, backlog / LARGE_BACKLOG);
  const courtesy = createCourtesy(ctx.clock, pressure);
  const underWay = new Set<Promise<void>>();
  let inFlight = 0;
  const unsubscribe: (() => void)[] = [];
  const meeting = createMeeting(ctx.clock, () => between(REPORT_MS, pressure()));
  const fanOut = createFanOut(ctx);
  let isStale = true;
  let isBusy = false;
  let isStopping = false;
  let readAt = -Infinity;
  let turn = 0;
  const loop = createLoop({
    log,
    complaint: "Webhooks could not be served",
    clock: ctx.clock,
    work,
    backstopMs: POLL_MS,
    pauseMs: () => (isBusy ? PAUSE_MS.busy : PAUSE_MS.idle),
  });

  async function work(): Promise<More | void> {
    if (!(await lease.isHeld())) {
      isStale = true;
      looks.forget();
      return;
    }
    const now = ctx.clock.monotonic();
    // Other processes change endpoints, too.
    if (isStale || (!ctx.isExclusive && now - readAt >= POLL_MS)) {
      // After a change during the read, or a failure, they are read once more.
      isStale = false;
      try {
        endpoints.set(await listActiveWebhooks(ctx.db));
      } catch (error) {
        isStale = true;
        throw error;
      }
      readAt = now;
      fanOut.reset(endpoints.all());
    }
    if (endpoints.all().length === 0) return;
    const waiting = await readWaiting();
    backlog = backlogOf(waiting);
    const starts = Math.round(between(STARTS, pressure()));
    const rows = Math.round(between(ROWS, pressure()));
    courtesy.begin();
    // Ended deliveries are written in the same commit as the new ones.
    meeting.end();
    const advanced = await fanOut.advance(endpoints.all(), waiting, rows, courtesy.pause);
    if (advanced.isOutdated) isStale = true;
    const { found, isUnread } = await lookAround(waiting, starts);
    turn++;
    const held = found.reduce((sum, { endpoint }) => sum + endpoint.inFlight.size, 0);
    // Deliveries to endpoints that were deleted meanwhile hold their slots until they end.
    const capacity = options.inAll - (inFlight - held);
    let started = 0;
    for (const [candidates, count] of shareDeliveries(found, capacity, starts))
      started += await startSome(candidates, count);
    const isCut = advanced.isMore || isStale || isUnread || started === starts;
    if (isCut) loop.nudge();
    isBusy = isCut || inFlight >= options.inAll;
    const next = Math.min(...found.map(({ nextAt }) => nextAt));
    return { inMs: Math.max(1, next - ctx.clock.steady()) };
  }

  /** How many deliveries wait for nothing but this process. Those to endpoints that do not answer cost little. */
  function backlogOf(waiting: ReadonlyMap<number, Waiting>): number {
    const now = ctx.clock.steady();
    const quick = endpoints.all().filter((endpoint) => isReady(endpoint, now));
    return quick.reduce((sum, { webhook }) => {
      const { fresh = 0, replays = 0 } = waiting.get(webhook.seq) ?? {};
      return sum + fresh + replays;
    }, 0);
  }

  /** The numbers of waiting deliveries, by the row number of the endpoint. */
  async function readWaiting(): Promise<Map<number, Waiting>> {
    const rows = await readRows(ctx.client, WAITING_AT_WEBHOOKS);
    return new Map(rows.map((row) => [row.seq, row]));
  }

  /**
   * The deliveries that may start at each endpoint. Reads the deliveries of at most `most` endpoints, those first
   * that were not served for longest.
   */
  async function lookAround(waiting: ReadonlyMap<number, Waiting>, most: number) {
    const found: Candidates[] = [];
    let left = most;
    let isUnread = false;
    for (const endpoint of endpoints.all().toSorted((a, b) => a.lastServed - b.lastServed)) {
      const what = waiting.get(endpoint.webhook.seq);
      const look = looks.at(endpoint, slotsOf(endpoint), what);
      const isToRead = "unread" in look;
      isUnread ||= isToRead && left <= 0;
      if (isToRead && left-- > 0) {
        found.push(await look.read());
        // Waiting for a server's answer blocks nothing.
        if (!ctx.isExclusive) courtesy.begin();
      } else found.push(isToRead ? look.unread : look);
      await courtesy.pause();
    }
    return { found, isUnread };
  }

  /** Ends early if endpoints have changed meanwhile, or the courier is stopping. */
  async function startSome(candidates: Candidates, count: number): Promise<number> {
    candidates.endpoint.lastServed = turn;
    for (let started = 0; started < count; started++) {
      if (isStale || isStopping || !startNext(candidates)) return started;
      await courtesy.pause();
    }
    return count;
  }

  /** Passes the slot of a delivery that has ended on to the next one at once, unless slots are scarce or requests wait. */
  function passOn(endpoint: Endpoint): void {
    if (isStale || isStopping || inFlight >= options.inAll / 2 || pressure() > 1 / 2) return;
    const candidates = looks.kept(endpoint, slotsOf(endpoint));
    if (candidates && candidates.ready > 0) startNext(candidates);
  }

  /** Starts one of these deliveries and removes it from them. `false`: none may start. */
  function startNext({ endpoint, most, live, late }: Candidates): boolean {
    for (;;) {
      const waiting = { live: live.length, late: late.length };
      const kind = nextKind(endpoint.held(), waiting, { most, last: endpoint.lastKind });
      const delivery = kind && (kind === "live" ? live : late).shift();
      if (!kind || !delivery) return false;
      if (!looks.take(endpoint, delivery)) continue;
      endpoint.lastKind = kind;
      start(endpoint, delivery, kind);
      return true;
    }
  }

  function slotsOf(endpoint: Endpoint): number {
    return endpoint.hasAnswered && endpoint.failures < 5 ? options.perEndpoint : 1;
  }

  function start(endpoint: Endpoint, delivery: Delivery, kind: Kind): void {
    endpoint.inFlight.set(delivery.seq, { delivery, kind, since: ctx.clock.steady() });
    inFlight++;
    const work = deliver(endpoint, delivery).finally(() => {
      endpoint.unsaved.delete(delivery.seq);
      loop.nudge();
    });
    background(log, "Saving the outcome of a delivery", work, underWay);
  }

  async function deliver(endpoint: Endpoint, delivery: Delivery): Promise<void> {
    const { webhook } = endpoint;
    const { type, body, attempts, trace } = delivery;
    const id = messageId(webhook, delivery);
    const message = { id, body, type, attempt: attempts + 1, trace };
    const attempt = await attemptDelivery(ctx, webhook, message);
    // Storing the outcome takes no slot, because it may wait longer for its commit than the endpoint took.
    endpoint.inFlight.delete(delivery.seq);
    inFlight--;
    endpoint.unsaved.set(delivery.seq, delivery);
    endpoint.note(attempt, ctx.clock.steady(), ctx.random());
    passOn(endpoint);
    loop.nudge();
    // Another process may make the retry, so the shared clock is used.
    const endedAt = sharedSteadyNow(ctx);
    const nextAt = nextAttemptAt(delivery.attempts + 1, attempt, endedAt, ctx.random());
    await meeting.join();
    try {
      const served = { endpoint, attempted: webhook };
      if (await report(ctx, served, delivery, attempt, nextAt)) isStale = true;
      if (nextAt !== undefined) looks.expect(endpoint, nextAt);
    } catch (error) {
      looks.forget(endpoint);
      throw error;
    }
  }

  function seeEvents(): void {
    if (endpoints.all().length > 0) loop.nudge();
  }

  return {
    start() {
      isStopping = false;
      unsubscribe.push(
        ctx.signals.on("events", seeEvents),
        ctx.signals.on("elsewhere", seeEvents),
        ctx.signals.on("webhooks", () => {
          isStale = true;
          looks.forget();
          loop.nudge();
        }),
      );
      loop.start();
      loop.nudge();
    },
    async stop(graceMs) {
      isStopping = true;
      for (const end of unsubscribe) end();
      await loop.stop();
      meeting.end();
      await endsWithin(ctx.clock, Promise.all(underWay), graceMs);
      await fanOut.save(endpoints.all());
      await lease.giveUp();
    },
  };
}
