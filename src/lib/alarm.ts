export type Alarm = {
  /** Rings at this time instead of the one it was set for; `Infinity`: not at all. */
  set(at: number): void;
  /** Rings at this time unless it will ring before. */
  noLaterThan(at: number): void;
  clear(): void;
};

/** Timers of more than 24 days fire at once; one that rings early is looked at once too often, at worst. */
const LONGEST_MS = 60_000;

/** Rings once for each time that it is set, within a minute in any case. Times are those of `now`. */
export function createAlarm(ring: () => void, now: () => number): Alarm {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let setFor = Infinity;

  function clear(): void {
    clearTimeout(timer);
    setFor = Infinity;
  }

  function set(at: number): void {
    clear();
    if (at === Infinity) return;
    setFor = at;
    timer = setTimeout(
      () => {
        setFor = Infinity;
        ring();
      },
      Math.max(0, Math.min(at - now(), LONGEST_MS)),
    );
  }

  return {
    set,
    noLaterThan(at) {
      if (at < setFor || setFor <= now()) set(at);
    },
    clear,
  };
}
