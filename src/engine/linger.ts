const QUIET_MS = 2;
const LINGER_MS = 16;

/**
 * Reports wait for others to be committed with them while most calls are still under way: until none
 * came for a moment, but never long.
 */
export function createLinger(onDue: () => void) {
  let since: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    /** Waits from now on, if it does not wait already, and at least for another moment. */
    on(): void {
      const now = performance.now();
      since ??= now;
      clearTimeout(timer);
      const left = LINGER_MS - (now - since);
      if (left <= 0) onDue();
      else timer = setTimeout(onDue, Math.min(QUIET_MS, left));
    },
    /** The wait is over. */
    end(): void {
      clearTimeout(timer);
      since = undefined;
    },
  };
}
