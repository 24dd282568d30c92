/** The value of an entry: two numbers, the first of which is not 0. */
export type Place = { task: number; run: number };

/** The initial number of slots, and how full they may be. */
const FIRST_SLOTS = 1024;
const MOST_FULL = 2 / 3;

/**
 * A table from SHA-256 hashes (hexadecimal) to places, in typed arrays: at most 84 bytes an entry, where a
 * `Map` takes several times as many. Hashes are compared by their first 128 bits. The last entry of a hash counts.
 */
export function createHashTable() {
  let slots = FIRST_SLOTS;
  let words = new Uint32Array(4 * slots);
  let tasks = new Float64Array(slots);
  let runs = new Uint32Array(slots);
  let size = 0;

  /** The slot that holds these words, or the empty one where they belong. */
  function slotOf(wanted: ArrayLike<number>, from = 0): number {
    for (let slot = at(wanted, from) & (slots - 1); ; slot = (slot + 1) & (slots - 1))
      if (tasks[slot] === 0 || isSame(wanted, from, slot)) return slot;
  }

  function isSame(wanted: ArrayLike<number>, from: number, slot: number): boolean {
    for (let i = 0; i < 4; i++) if (at(wanted, from + i) !== words[4 * slot + i]) return false;
    return true;
  }

  function put(wanted: ArrayLike<number>, from: number, { task, run }: Place): void {
    const slot = slotOf(wanted, from);
    if (tasks[slot] === 0) size++;
    for (let i = 0; i < 4; i++) words[4 * slot + i] = at(wanted, from + i);
    tasks[slot] = task;
    runs[slot] = run;
  }

  function grow(): void {
    const [oldWords, oldTasks, oldRuns, oldSlots] = [words, tasks, runs, slots];
    slots *= 2;
    words = new Uint32Array(4 * slots);
    tasks = new Float64Array(slots);
    runs = new Uint32Array(slots);
    size = 0;
    for (let slot = 0; slot < oldSlots; slot++) {
      const task = at(oldTasks, slot);
      if (task !== 0) put(oldWords, 4 * slot, { task, run: at(oldRuns, slot) });
    }
  }

  return {
    set(hash: string, place: Place): void {
      if (size >= slots * MOST_FULL) grow();
      put(wordsOf(hash), 0, place);
    },
    get(hash: string): Place | undefined {
      const slot = slotOf(wordsOf(hash));
      const task = at(tasks, slot);
      return task === 0 ? undefined : { task, run: at(runs, slot) };
    },
    size: () => size,
  };
}

function wordsOf(hash: string): number[] {
  return [0, 8, 16, 24].map((from) => Number.parseInt(hash.slice(from, from + 8), 16));
}

function at(numbers: ArrayLike<number>, i: number): number {
  return numbers[i] ?? 0;
}
