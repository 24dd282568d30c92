/** Numbers from 0 up to 1, for ids and jitter. Keys, secrets and IVs have `lib/secrets.ts`. */
export type Random = () => number;

/** How many numbers are drawn from the system at a time; one by one, each would cost a system call. */
const DRAWN_AT_ONCE = 256;

/** Random numbers of the system, with 32 bits each. */
export function createSystemRandom(): Random {
  const drawn = new Uint32Array(DRAWN_AT_ONCE);
  let next = DRAWN_AT_ONCE;
  return () => {
    if (next === DRAWN_AT_ONCE) {
      crypto.getRandomValues(drawn);
      next = 0;
    }
    return (drawn[next++] ?? 0) / 2 ** 32;
  };
}
