import { createFifo } from "./fifo.ts";

/**
 * A budget, such as memory, that is shared by work of known size. Callers wait in order until the work in progress
 * leaves enough; work that is larger than the whole budget runs alone. Returns a function that gives the room back.
 * `signal` ends the wait.
 */
export function createSharedRoom(most: number) {
  const waiting = createFifo<{ size: number; enter: () => void }>();
  let used = 0;

  function admit(): void {
    for (let next = waiting.first(); next; next = waiting.first()) {
      if (used > 0 && used + next.size > most) return;
      waiting.shift();
      next.enter();
    }
  }

  return async function enter(size: number, signal: AbortSignal): Promise<() => void> {
    if (signal.aborted || size === 0) return () => {};
    const { promise, resolve } = Promise.withResolvers<void>();
    let isIn = false;
    const one = {
      size,
      enter() {
        // A caller that has given up holds nothing.
        if (signal.aborted) return;
        isIn = true;
        used += size;
        resolve();
      },
    };
    const giveUp = () => resolve();
    signal.addEventListener("abort", giveUp);
    waiting.push(one);
    admit();
    await promise;
    signal.removeEventListener("abort", giveUp);
    return () => {
      if (!isIn) return;
      isIn = false;
      used -= size;
      admit();
    };
  };
}
