import { FIRST_LATENCY_MS, isQuick, type Kind } from "../domain/delivery-slots.ts";
import type { Attempt } from "../domain/webhook.ts";
import type { Delivery } from "../store/deliveries.ts";
import type { Webhook } from "../store/webhooks.ts";

/** An endpoint as the courier knows it. */
export type Endpoint = {
  webhook: Webhook;
  /** Deliveries that it has not answered, by row number, in the order of their start. They hold its slots. */
  inFlight: Map<number, InFlight>;
  /** Deliveries that have ended, by row number, and whose outcome is not stored yet. */
  unsaved: Map<number, Delivery>;
  /** All that the stored deliveries do not show yet. */
  underWay(): Delivery[];
  /** How many of each kind are in flight. */
  held(): Record<Kind, number>;
  /** Its current latency, from recent attempts and those in flight. */
  latencyAt(now: number): number;
  /** The turn in which it was last served, and with which kind. */
  lastServed: number;
  lastKind: Kind;
  /** Whether it has answered, with any status, since this process has known it. */
  hasAnswered: boolean;
  /** Failed attempts since the endpoint last answered with anything but a 5xx. */
  failures: number;
  suspendedUntil: number;
  /** Notes the outcome of an attempt; `endedAt` is a time of `clock.steady`. */
  note(attempt: Attempt, endedAt: number, random: number): void;
};

type InFlight = { delivery: Delivery; kind: Kind; since: number };

/** The weight of the latest attempt in the moving average of the latency. */
const LEARNING = 1 / 4;
const FAILURES_UNTIL_SUSPENDED = 5;
const FIRST_SUSPENSION_MS = 5000;
const LONGEST_SUSPENSION_MS = 60_000;

/** The endpoints that are served, with their current state, which outlives changes of their rows. */
export function createEndpoints() {
  let known = new Map<number, Endpoint>();

  return {
    /** Sets the endpoints as they are stored now. */
    set(webhooks: Webhook[]): void {
      known = new Map(
        webhooks.map((webhook) => {
          const endpoint = known.get(webhook.seq) ?? createEndpoint(webhook);
          endpoint.webhook = webhook;
          return [webhook.seq, endpoint];
        }),
      );
    },
    all: () => [...known.values()],
  };
}

/** Whether an endpoint currently accepts deliveries quickly. */
export function isReady(endpoint: Endpoint, now: number): boolean {
  return endpoint.suspendedUntil <= now && isQuick(endpoint.latencyAt(now));
}

function createEndpoint(webhook: Webhook): Endpoint {
  let latencyMs = FIRST_LATENCY_MS;
  return {
    webhook,
    inFlight: new Map(),
    unsaved: new Map(),
    underWay() {
      const started = Array.from(this.inFlight.values(), ({ delivery }) => delivery);
      return [...started, ...this.unsaved.values()];
    },
    lastServed: 0,
    lastKind: "late",
    hasAnswered: false,
    failures: 0,
    suspendedUntil: 0,
    held() {
      let late = 0;
      for (const { kind } of this.inFlight.values()) if (kind === "late") late++;
      return { live: this.inFlight.size - late, late };
    },
    latencyAt(now) {
      const [oldest] = this.inFlight.values();
      return Math.max(latencyMs, oldest ? now - oldest.since : 0);
    },
    note({ status, latencyMs: latest }, endedAt, random) {
      latencyMs = this.hasAnswered ? latencyMs + (latest - latencyMs) * LEARNING : latest;
      this.hasAnswered ||= status !== null;
      this.failures = isAnswering(status) ? 0 : this.failures + 1;
      const over = this.failures - FAILURES_UNTIL_SUSPENDED;
      if (over < 0) this.suspendedUntil = 0;
      else {
        const pause = Math.min(LONGEST_SUSPENSION_MS, FIRST_SUSPENSION_MS * 2 ** over);
        this.suspendedUntil = endedAt + pause * (0.9 + 0.2 * random);
      }
    },
  };
}

/** An endpoint that refuses a message is still up, and may accept the next one. */
function isAnswering(status: number | null): boolean {
  return status !== null && status < 500 && status !== 429 && status !== 408;
}
