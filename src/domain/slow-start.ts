/** The first limit of calls in flight. */
const FIRST = 8;
const UNLIMITED = 4096;
/** A call that has been under way for as long as this was not refused, if no answer shows that refusals are faster. */
const LONGEST_REFUSAL_MS = 400;
/** Refusals are assumed to take at most this share of the time of the fastest answer. */
const REFUSAL_SHARE = 0.8;
const SHORTEST_REFUSAL_MS = 5;
/** For each call that was accepted, so many more may be under way. */
const CALLS_PER_ACCEPTED = 3;
/** How fast the square root of the limit grows in the time of a refusal. */
const GROWTH = 7;
/** Calls that were sent within this time of each other count as sent at once. */
const TOGETHER_MS = 2;

/**
 * Limits the calls in flight at a provider whose limits are unknown. A refusal stops the growth, but it is known only
 * after some time, and the calls that were sent meanwhile are refused, too. So calls are evidence as soon as a refusal
 * of them would be known: refusals are faster than answers. The limit grows with the calls that were accepted so far,
 * and with the square of the time, so that a fast refusal finds few calls on their way. Calls that hang block no others.
 * A pure object: the time is passed in.
 */
export function createSlowStart() {
  let startedAt: number | null = null;
  let started = 0;
  let accepted = 0;
  /** Calls that may still be refused: when they were sent, and how many had been sent then. */
  const recent: { at: number; started: number }[] = [];
  let refusalMs = LONGEST_REFUSAL_MS;
  let limit = FIRST;
  let grownAt: number | null = null;
  let isOver = false;

  function accept(now: number): void {
    for (let first = recent[0]; first && first.at + refusalMs <= now; first = recent[0]) {
      accepted = first.started;
      recent.shift();
    }
  }

  function window(now: number): number {
    if (isOver) return Infinity;
    accept(now);
    if (accepted === 0) return FIRST;
    const root = Math.sqrt(limit) + (GROWTH * (now - (grownAt ?? now))) / refusalMs;
    grownAt = now;
    limit = Math.max(limit, Math.min(root ** 2, mostFor(accepted)));
    isOver = limit >= UNLIMITED;
    return Math.floor(limit);
  }

  return {
    window,
    isOver: () => isOver,
    startedAt: () => startedAt,
    started(now: number): void {
      startedAt ??= now;
      started++;
      const last = recent.at(-1);
      if (last && now - last.at < TOGETHER_MS) last.started = started;
      else if (!isOver) recent.push({ at: now, started });
    },
    answered(sentAt: number, now: number): void {
      const ms = Math.max(SHORTEST_REFUSAL_MS, (now - sentAt) * REFUSAL_SHARE);
      refusalMs = Math.min(refusalMs, ms);
    },
    /** When one more than `calls` may be in flight, or shortly before. */
    whenAbove(calls: number, now: number): number {
      const next = recent.find((sent) => mostFor(sent.started) > calls);
      const acceptedAt = mostFor(accepted) > calls ? now : (next?.at ?? now) + refusalMs;
      const roots = Math.sqrt(calls + 1) - Math.sqrt(limit);
      return Math.max(now + 1, acceptedAt, (grownAt ?? now) + (roots / GROWTH) * refusalMs);
    },
  };
}

const mostFor = (accepted: number) => FIRST + CALLS_PER_ACCEPTED * accepted;
