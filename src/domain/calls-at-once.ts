/** One call more is tried after this many answers for each call that may be under way. */
const ANSWERS_PER_CALL = 10;

/** Limits the calls in flight after refusals that said that there were too many. */
export function createAtOnce() {
  let most = Infinity;
  let answers = 0;
  let loweredAt = -Infinity;
  return {
    most: () => most,
    /**
     * `others` are still in flight. Some of them may have been refused, too, which is not known yet: each of them is
     * taken off when it is.
     */
    refused(others: number, sentAt: number, now: number): void {
      const isKnown = sentAt <= loweredAt;
      most = Math.max(1, isKnown ? most - 1 : Math.min(most, others));
      if (!isKnown) loweredAt = now;
      answers = 0;
    },
    answered(): void {
      if (most === Infinity || ++answers < most * ANSWERS_PER_CALL) return;
      most++;
      answers = 0;
    },
  };
}
