import type { Attempt } from "../domain/webhook.ts";
import type { Delivery } from "../store/deliveries.ts";
import type { Webhook } from "../store/webhooks.ts";

/** An endpoint as the courier knows it. */
export type Endpoint = {
  webhook: Webhook;
  underWay: Map<number, Delivery>;
  /** Attempts since the last one to which the endpoint said anything but that it cannot at present. */
  failures: number;
  suspendedUntil: number;
  /** Takes what came of an attempt that ended at a moment of `clock.steady`. */
  note(attempt: Attempt, endedAt: number, random: number): void;
};

const FAILURES_UNTIL_SUSPENDED = 5;
const FIRST_SUSPENSION_MS = 5000;
const LONGEST_SUSPENSION_MS = 60_000;

/** The endpoints that are served, each with how it does; those come and go, this stays. */
export function createEndpoints() {
  let known = new Map<number, Endpoint>();
  let turn = 0;

  return {
    /** Takes the endpoints as they are stored now. */
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
    /** All of them, each time another one first, so that none takes the slots of all. */
    inTurn(): Endpoint[] {
      const all = [...known.values()];
      const first = turn++ % Math.max(1, all.length);
      return [...all.slice(first), ...all.slice(0, first)];
    },
  };
}

function createEndpoint(webhook: Webhook): Endpoint {
  return {
    webhook,
    underWay: new Map(),
    failures: 0,
    suspendedUntil: 0,
    note({ status }, endedAt, random) {
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

/** An endpoint that refuses a message is there to take the next one. */
function isAnswering(status: number | null): boolean {
  return status !== null && status < 500 && status !== 429 && status !== 408;
}
