import { createFifo } from "./fifo.ts";

/**
 * Room that work shares whose size is known, such as memory: one waits, in order, until what is under way
 * leaves enough. What is larger than all of it goes alone. Returns what gives the room back; on `signal`
 * nobody waits any longer.
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
        // One that has given up holds nothing.
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
