/** Calls back after `ms`; returns what prevents it. */
export type SetTimer = (callback: () => void, ms: number) => () => void;

export type Loop = {
  /** Works soon; resolves when work that began after this call is done. */
  nudge(): Promise<void>;
  /** Works no more; resolves when the work at hand is done. */
  stop(): Promise<void>;
};

export type LoopOptions = {
  /** Does what there is to do, and tells in how many ms it must look again at the latest. */
  work: () => Promise<number>;
  setTimer: SetTimer;
  onError: (error: unknown) => void;
};

const RETRY_MS = 1000;

/*
 * A loop is idle, its timer armed, or it works; it never works twice at once. Nudged or woken while
 * it is idle, it works; nudged while it works, it works once more. Work that fails is told, and done
 * again a second later: a loop ends only when it is stopped.
 */
export function createLoop({ work, setTimer, onError }: LoopOptions): Loop {
  let working: Promise<void> | undefined;
  let again: Promise<void> | undefined;
  let disarm = () => {};
  let isStopped = false;

  async function turn(): Promise<void> {
    disarm();
    let ms = RETRY_MS;
    try {
      ms = await work();
    } catch (error) {
      onError(error);
    }
    if (!isStopped) disarm = setTimer(() => void nudge(), Math.max(0, ms));
  }

  function nudge(): Promise<void> {
    if (isStopped) return Promise.resolve();
    if (working) {
      again ??= working.then(() => {
        again = undefined;
        return nudge();
      });
      return again;
    }
    working = turn().finally(() => (working = undefined));
    return working;
  }

  return {
    nudge,
    async stop() {
      isStopped = true;
      disarm();
      await working;
    },
  };
}
