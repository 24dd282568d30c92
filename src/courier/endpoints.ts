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
  /** Row number of the endpoint that was served last. */
  let last = 0;

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
    /** Those with these row numbers, from the one on that is next to be served. */
    inTurn(seqs: Iterable<number>): Endpoint[] {
      const some = [...seqs].toSorted((a, b) => a - b).flatMap((seq) => known.get(seq) ?? []);
      const first = some.findIndex(({ webhook }) => webhook.seq > last);
      return first <= 0 ? some : [...some.slice(first), ...some.slice(0, first)];
    },
    served({ webhook }: Endpoint): void {
      last = webhook.seq;
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
