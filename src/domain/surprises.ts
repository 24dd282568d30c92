const MINUTE_MS = 60_000;
/** The calls between two refusals show the rate if they lasted at least this long. */
const MEASURE_MS = 1000;
const MEASURE_CALLS = 5;
const MEASURE_FIRST_MS = 100;
/** A wait that is longer than this is that of a window. */
const LONG_WAIT_MS = 5000;
/** A learned rate is set a little lower than what was seen. */
const BELOW = 0.97;

/** A refusal that was not expected. */
type Surprise = {
  at: number;
  /** When the refused call was sent, and how many calls had been sent then, itself included. */
  sentAt: number;
  sent: number;
  /** How many calls were refused until now. */
  refused: number;
  /** How long no call starts because of it. */
  waitMs: number;
  /** The rate that was assumed. */
  perMs: number;
};

type Found = { perMs: number; from: "measured" | "guessed" };

/**
 * Learns a rate from unexpected refusals. Calls that were sent between two refused ones, and were not refused, are what
 * the provider lets through in this time. How long they take does not matter. A pure object: the time is passed in.
 */
export function createSurprises() {
  let isFirst = true;
  /** The start, and the refusals since; only those of the last minute, and the last one before it. */
  let known: Surprise[] = [];

  return {
    /** A call was sent. */
    began(now: number): void {
      if (known.length > 0) return;
      known = [{ at: now, sentAt: now, sent: 0, refused: 0, waitMs: 0, perMs: Infinity }];
    },

    add(surprise: Surprise): Found {
      const { at, sent, sentAt, perMs } = surprise;
      const last = known.at(-1) ?? surprise;
      const isOld = (one: Surprise) => one.sentAt <= sentAt - MINUTE_MS;
      known = [...known.slice(Math.max(0, known.findLastIndex(isOld))), surprise];
      if (isFirst) {
        isFirst = false;
        return { perMs: sent / Math.max(MEASURE_FIRST_MS, at - last.at) / 2, from: "guessed" };
      }
      const through = throughSince(last, surprise);
      // A window begins anew when the wait ends.
      const ms = Math.max(1, endOf(surprise) - endOf(last));
      // One more call might have been let through at any moment before the refusal.
      const sinceLast = (through + 1) / ms;
      const isWindow = last.waitMs > Math.max(LONG_WAIT_MS, ms / 2);
      const seen = isWindow ? Math.max(sinceLast, inMinute(surprise)) : sinceLast;
      if (ms >= MEASURE_MS && through >= MEASURE_CALLS)
        return { perMs: seen * BELOW, from: "measured" };
      return { perMs: Math.max(perMs / 4, Math.min(perMs * 0.95, seen)), from: "guessed" };
    },
  };

  /**
   * A sliding window that is used up lets nothing through for a while, and then a few calls, which say little of its
   * rate. What got through in a minute says more.
   */
  function inMinute(surprise: Surprise): number {
    const first = known[0] ?? surprise;
    return throughSince(first, surprise) / Math.max(MINUTE_MS, surprise.sentAt - first.sentAt);
  }
}

/** When calls may start again. */
const endOf = ({ at, waitMs }: Surprise) => at + waitMs;

function throughSince(before: Surprise, { sent, refused }: Surprise): number {
  return Math.max(0, sent - before.sent - (refused - before.refused));
}
