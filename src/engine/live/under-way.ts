import type { Clock } from "../../lib/clock.ts";

/*
 * The live calls of this process, so that it can wait for their ends when it stops. A call counts from its request
 * until its client has an answer, and from its sending until its cost is known, which may be later.
 */
export function createUnderWay(clock: Pick<Clock, "setTimeout">) {
  let sent = 0;
  let requested = 0;
  let onIdle: (() => void) | undefined;
  let isCutOff = false;
  const ends = new Set<() => void>();

  const isIdle = () => sent + requested === 0;

  function noteIdle(): void {
    if (isIdle()) onIdle?.();
  }

  return {
    sent: () => sent,
    begin(): void {
      sent++;
    },
    end(): void {
      sent--;
      noteIdle();
    },

    /** Counts a request until it is answered. */
    async whileAnswered<T>(answer: () => Promise<T>): Promise<T> {
      requested++;
      try {
        return await answer();
      } finally {
        requested--;
        noteIdle();
      }
    },

    /** `end` is called when calls are cut off, at once if they are already, until the returned function is called. */
    onCutOff(end: () => void): () => void {
      if (isCutOff) end();
      else ends.add(end);
      return () => {
        ends.delete(end);
      };
    },

    isCutOff: () => isCutOff,

    /** Ends all calls that were sent. */
    cutOff(): void {
      isCutOff = true;
      for (const end of ends) end();
    },

    /** Resolves when no call is under way, or after `ms`. */
    async untilIdle(ms: number): Promise<void> {
      if (isIdle()) return;
      await new Promise<void>((resolve) => {
        const cancel = clock.setTimeout(resolve, ms);
        onIdle = () => {
          cancel();
          resolve();
        };
      });
    },
  };
}
