import type { Cancel, Clock } from "./clock.ts";

export type Alarm = {
  /** Rings at this time instead of the one it was set for; `Infinity`: not at all. */
  set(at: number): void;
  /** Rings at this time unless it will ring before. */
  noLaterThan(at: number): void;
  clear(): void;
};

/** Timers of more than 24 days fire at once; one that rings early is looked at once too often, at worst. */
const LONGEST_MS = 60_000;

/** Rings once for each time that it is set, within a minute in any case. Times are those of `clock.now`. */
export function createAlarm(ring: () => void, clock: Pick<Clock, "now" | "setTimeout">): Alarm {
  let cancel: Cancel | undefined;
  let setFor = Infinity;

  function clear(): void {
    cancel?.();
    setFor = Infinity;
  }

  function set(at: number): void {
    clear();
    if (at === Infinity) return;
    setFor = at;
    cancel = clock.setTimeout(
      () => {
        setFor = Infinity;
        ring();
      },
      Math.max(0, Math.min(at - clock.now(), LONGEST_MS)),
    );
  }

  return {
    set,
    noLaterThan(at) {
      if (at < setFor || setFor <= clock.now()) set(at);
    },
    clear,
  };
}
