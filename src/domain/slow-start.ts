/** The first limit of calls in flight. */
const FIRST = 8;
const UNLIMITED = 4096;
/**
 * The limit doubles in this time before the first call has ended. Calls that hang must not block others, but a
 * refusal cannot be known before the first call ends, which may take a TLS handshake. Afterwards refusals arrive
 * faster than the limit doubles.
 */
const UNHEARD_DOUBLING_MS = 150;
const HEARD_DOUBLING_MS = 30;
/** Calls that were sent together may be answered one by one: after the first answer the others get this long. */
const SAME_ROUND_MS = 60;

/**
 * Limits the calls in flight at a provider whose limits are unknown. The limit grows with each answer and with time.
 * A pure object: the time is passed in.
 */
export function createSlowStart() {
  let answers = 0;
  let startedAt: number | null = null;
  let heardAt: number | null = null;
  let isOver = false;

  function window(now: number): number {
    if (isOver) return Infinity;
    const grown = FIRST * 2 ** doublings(now);
    if (Math.max(grown, FIRST + answers) >= UNLIMITED) isOver = true;
    return Math.max(FIRST + answers, Math.floor(grown));
  }

  function doublings(now: number): number {
    if (startedAt === null) return 0;
    const unheard = Math.max(0, Math.min(now, heardAt ?? now) - startedAt);
    const heard = heardAt === null ? 0 : Math.max(0, now - heardAt);
    return unheard / UNHEARD_DOUBLING_MS + heard / HEARD_DOUBLING_MS;
  }

  return {
    window,
    isOver: () => isOver,
    startedAt: () => startedAt,
    started: (now: number) => (startedAt ??= now),
    /** A call ended, in whatever way. */
    heard: (now: number) => (heardAt ??= now + SAME_ROUND_MS),
    answered: () => answers++,
    /** When one more than `calls` may be in flight. */
    whenAbove(calls: number, now: number): number {
      const missing = Math.max(0, Math.log2((calls + 1) / FIRST) - doublings(now));
      return now + missing * (heardAt === null ? UNHEARD_DOUBLING_MS : HEARD_DOUBLING_MS) + 1;
    },
  };
}
