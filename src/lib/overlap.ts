/**
 * Lets one asynchronous step run while the next is prepared. No rejection stays unhandled, and when `add` or `end` throws
 * the error of a step, no step runs any more.
 */
export function createOverlap() {
  let last: Promise<{ error: unknown } | undefined> = Promise.resolve(undefined);

  return {
    /** Begins a step, and waits for the one before. */
    async add(step: Promise<unknown>): Promise<void> {
      const before = last;
      last = step.then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      const failed = await before;
      if (!failed) return;
      await last;
      throw failed.error;
    },
    /** Waits for the last step. */
    async end(): Promise<void> {
      const failed = await last;
      if (failed) throw failed.error;
    },
    /** The same, whatever its result. */
    async settled(): Promise<void> {
      await last;
    },
  };
}
