/** Cancels a timer; does nothing once the timer has fired. */
export type Cancel = () => void;

/**
 * The time of one process, and its timers. All code in `src` gets both from here, so that a test or the simulation
 * can control them.
 */
export type Clock = {
  /** Wall time in Unix ms, for people, cron expressions and what is stored. It may jump either way. */
  now(): number;
  /** Ms since an arbitrary moment. It never goes back. */
  monotonic(): number;
  /**
   * Wall time when the clock was created, plus the monotonic time since, in whole Unix ms. It never jumps, so a wait
   * until such a time takes as long as intended, and people can read it.
   */
  steady(): number;
  setTimeout(callback: () => void, ms: number): Cancel;
  setInterval(callback: () => void, ms: number): Cancel;
  /** Calls back when the current round of the event loop is over. */
  setImmediate(callback: () => void): void;
  /** Resolves after `ms`. */
  sleep(ms: number): Promise<void>;
};

/** The clock of the machine. */
export function createSystemClock(): Clock {
  const startedAt = Date.now() - performance.now();
  return {
    now: Date.now,
    monotonic: () => performance.now(),
    steady: () => Math.floor(startedAt + performance.now()),
    setTimeout(callback, ms) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    setInterval(callback, ms) {
      const timer = setInterval(callback, ms);
      return () => clearInterval(timer);
    },
    setImmediate(callback) {
      setImmediate(callback);
    },
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
}

/** Resolves in the next round of the event loop, so that other work gets its turn. */
export function nextRound(clock: Pick<Clock, "setImmediate">): Promise<void> {
  return new Promise((resolve) => clock.setImmediate(resolve));
}

/** The longest that a loop over many items may block other work. */
const TURN_MS = 5;

/** Lets a long loop yield to the event loop between two steps: `if (pauses.isDue()) await pauses.take()`. */
export type Pauses = {
  /** Whether the loop has blocked other work for some milliseconds. */
  isDue(): boolean;
  /** Yields to other work. */
  take(): Promise<void>;
};

/** `isDue` is separate because even an immediate `await` takes as long as a short step of such a loop. */
export function createPauses(clock: Pick<Clock, "monotonic" | "setImmediate">): Pauses {
  let since = clock.monotonic();
  return {
    isDue: () => clock.monotonic() - since >= TURN_MS,
    async take() {
      await nextRound(clock);
      since = clock.monotonic();
    },
  };
}

/** Collects callers so that their writes share a commit: all go on together, `ms()` after the first one came. */
export function createMeeting(clock: Pick<Clock, "setTimeout">, ms: () => number) {
  let meeting: PromiseWithResolvers<void> | undefined;
  let cancel = () => {};
  const end = () => {
    cancel();
    meeting?.resolve();
    meeting = undefined;
  };
  return {
    join(): Promise<void> {
      if (!meeting) {
        meeting = Promise.withResolvers<void>();
        cancel = clock.setTimeout(end, ms());
      }
      return meeting.promise;
    },
    /** Waits no longer. */
    end,
  };
}

/** Whether the work ended within `ms`; it continues in any case. Throws the error of work that fails within that time. */
export async function endsWithin(
  clock: Pick<Clock, "setTimeout">,
  work: Promise<unknown>,
  ms: number,
): Promise<boolean> {
  let cancel: Cancel | undefined;
  const late = new Promise<false>((resolve) => {
    cancel = clock.setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    cancel?.();
  }
}
