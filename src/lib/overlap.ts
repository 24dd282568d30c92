type Settled = { error: unknown } | undefined;

/**
 * Lets up to `most` asynchronous steps run while the next one is prepared. No rejection stays unhandled, and when `add`
 * or `end` throws the error of a step, no step runs any more.
 */
export function createOverlap(most = 1) {
  let running: Promise<Settled>[] = [];

  async function waitFor(count: number): Promise<void> {
    while (running.length > count) {
      const failed = await running[0];
      running = running.slice(1);
      if (!failed) continue;
      await settled();
      throw failed.error;
    }
  }

  async function settled(): Promise<void> {
    await Promise.all(running);
  }

  return {
    /** Begins a step, and waits until at most `most` run. */
    async add(step: Promise<unknown>): Promise<void> {
      running.push(
        step.then(
          () => undefined,
          (error: unknown) => ({ error }),
        ),
      );
      await waitFor(most);
    },
    /** Waits for all steps. */
    end: () => waitFor(0),
    /** The same, whatever their results. */
    settled,
  };
}
