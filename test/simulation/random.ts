/** A source of reproducible randomness: the same seed and name give the same numbers on every machine. */
export type Luck = {
  /** From 0 up to 1. */
  next(): number;
  /** An integer from `low` to `high`, both included. */
  int(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<One>(from: readonly [One, ...One[]]): One;
  /** A choice by weight; those of weight 0 are never chosen. */
  weighted<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name;
  /** Ms around `mean`, exponentially distributed, at most ten times that. */
  about(mean: number): number;
  /** A separate source, independent of the numbers drawn from this one. */
  fork(name: string): Luck;
};

/** The sfc32 generator (PractRand), seeded from a text with FNV-1a. */
export function createLuck(seed: string): Luck {
  const next = sfc32(seed);
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (from) => from[int(0, from.length - 1)] ?? from[0],
    weighted<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name {
      const entries = Object.entries(weights) as [Name, number][];
      const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
      let left = next() * total;
      for (const [name, weight] of entries) if ((left -= weight) < 0) return name;
      throw new Error("there is nothing to choose from");
    },
    about: (mean) => Math.min(mean * 10, -Math.log(1 - next()) * mean),
    fork: (name) => createLuck(`${seed}/${name}`),
  };
}

function sfc32(seed: string): () => number {
  let [a, b, c, counter] = [hash(seed, 1), hash(seed, 2), hash(seed, 3), 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

function hash(text: string, salt: number): number {
  let value = 2_166_136_261 ^ salt;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16_777_619);
  return value;
}
