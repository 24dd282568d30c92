export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

/**
 * Upper bounds of the buckets that durations are counted in, in ms: six to a power of ten, from a millisecond to
 * twelve and a half minutes. Longer durations are in one more bucket. Counts of the same buckets add up, so that
 * percentiles can be computed over any minutes, models and processes.
 */
export const BUCKET_BOUNDS_MS: readonly number[] = [1, 10, 100, 1000, 10_000, 100_000].flatMap(
  (unit) => [1, 1.5, 2, 3, 5, 7.5].map((step) => unit * step),
);
export const BUCKETS = BUCKET_BOUNDS_MS.length + 1;

/** The bucket that a duration belongs to: the first whose bound is not below it. */
export function bucketOf(ms: number): number {
  let low = 0;
  let high = BUCKET_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ms <= (BUCKET_BOUNDS_MS[middle] ?? Infinity)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * The quantile `q` of the counted durations in ms, or `undefined` if none was counted. Within a bucket durations are
 * assumed to be spread evenly, so the result is off by half a bucket at most: a fifth of its value.
 */
export function quantileOf(counts: readonly number[], q: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let left = q * total;
  for (const [i, count] of counts.entries()) {
    if (count === 0 || left > count) {
      left -= count;
      continue;
    }
    const from = i === 0 ? 0 : (BUCKET_BOUNDS_MS[i - 1] ?? 0);
    const to = BUCKET_BOUNDS_MS[i] ?? from;
    return from + (to - from) * (left / count);
  }
  return BUCKET_BOUNDS_MS.at(-1);
}
