import { HOUR_MS, MINUTE_MS } from "./latency.ts";

/** The periods of task metrics: their length, their step, and the span of the rows that they are computed from. */
export const PERIODS = {
  hour: { ms: HOUR_MS, step: MINUTE_MS, span: MINUTE_MS },
  day: { ms: 24 * HOUR_MS, step: 10 * MINUTE_MS, span: MINUTE_MS },
  week: { ms: 7 * 24 * HOUR_MS, step: HOUR_MS, span: HOUR_MS },
  month: { ms: 30 * 24 * HOUR_MS, step: 6 * HOUR_MS, span: HOUR_MS },
} as const;
export type Period = keyof typeof PERIODS;
export const PERIOD_NAMES = ["hour", "day", "week", "month"] as const satisfies Period[];

/** The starts of a period's steps; the current step is the last. */
export function stepsOf(period: Period, now: number): number[] {
  const { ms, step } = PERIODS[period];
  const last = Math.floor(now / step) * step;
  return Array.from({ length: ms / step }, (_, i) => last - ms + step * (i + 1));
}
