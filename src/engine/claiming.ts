import type { Context } from "../context.ts";
import { fateOf, isAnswerTooLarge } from "../db/refusal.ts";
import { isEmpty, type Plan, type ResultOf } from "../db/unit.ts";
import { claim, type Claimed, type ClaimedRow, type LaneClaim } from "../store/claim.ts";
import type { FeedUnit } from "../store/feed.ts";
import { releaseUnknown } from "../store/release.ts";
import { isComplete, type Texts } from "./texts.ts";

/** How often to compare claims on a shared database, where a claim may take effect after its request was given up. */
const COMPARE_MS = 5000;

export type ClaimingOptions = {
  owner: () => number;
  /** Whether this process still owns what it has claimed. */
  isAlive: (since?: number) => boolean;
  texts: Texts;
  /** The claims of which this process knows. */
  known: () => [task: number, claim: number][];
  /** Called with the rows that were claimed for the wanted lanes, before any of them begins. */
  onClaimed: (rows: ClaimedRow[], claims: LaneClaim[], claimNo: number) => void;
  /** Begins claimed runs, which are known from then on. */
  begin: (rows: Claimed[], claimNo: number) => void;
};

/*
 * Feeds batches, and claims. A claim is
 *
 *   made       its answer lists what was claimed. Runs whose texts are included begin at once, the others
 *              when their texts are read.
 *   refused    by the database: nothing was claimed. If its answer was too large, fewer texts are included
 *              from then on.
 *   doubtful   it is unknown whether it was made, or texts could not be read, or the lease of this process
 *              lapsed before it began what it claimed. With the next claim the
 *              database releases the claims of this process that it does not know, as if they had not
 *              been claimed. Since a claim may take effect after that, it does so every few seconds on
 *              a shared database.
 */
export function createClaiming(ctx: Context, options: ClaimingOptions) {
  const { owner, texts } = options;
  let isDoubtful = false;
  let compareAt = 0;
  let claimNo = 0;
  /** The longest text to include, lowered when the database refuses an answer as too large. */
  let mostTextBytes = Infinity;

  /** Returns how many of the rows began. */
  function beginNow(rows: Claimed[], number: number, sentAt: number): number {
    if (!options.isAlive(sentAt)) return 0;
    options.begin(rows, number);
    return rows.length;
  }

  async function begin(rows: ClaimedRow[], number: number, sentAt: number): Promise<void> {
    isDoubtful = rows.length > 0;
    const complete = rows.filter(isComplete);
    const others = rows.filter((row) => !isComplete(row));
    let begun = beginNow(complete, number, sentAt);
    if (others.length > 0) begun += beginNow(await texts.complete(others), number, sentAt);
    isDoubtful = begun < rows.length;
  }

  return {
    /** Whether there may be claims of this process that it does not know. */
    isDoubtful: () => isDoubtful,

    async claim(claims: LaneClaim[], feeding: Plan<FeedUnit> | undefined): Promise<void> {
      const now = ctx.clock.now();
      const sentAt = ctx.clock.monotonic();
      const isClaiming = claims.length > 0;
      const next = claimNo + 1;
      const compares = isDoubtful || (!ctx.isExclusive && ctx.clock.monotonic() >= compareAt);
      const rows = claims.reduce((sum, { limit }) => sum + limit, 0);
      const textBytes = Math.min(mostTextBytes, texts.bytesFor(rows, 3));
      const unit = {
        released: compares ? releaseUnknown(owner(), next, options.known()) : undefined,
        fed: feeding?.unit,
        claim: isClaiming ? claim(claims, owner(), next, now, textBytes) : undefined,
      };
      if (isEmpty(unit)) return;
      if (isClaiming) claimNo = next;
      let results: ResultOf<typeof unit>;
      try {
        results = await ctx.writer.write(unit);
      } catch (error) {
        if (isClaiming && fateOf(error) === "unknown") isDoubtful = true;
        if (isAnswerTooLarge(error)) mostTextBytes = Math.floor(textBytes / 2);
        throw error;
      }
      isDoubtful = false;
      if (compares) compareAt = ctx.clock.monotonic() + COMPARE_MS;
      if (results.fed) feeding?.committed(results.fed);
      if (!results.claim) return;
      const claimed = results.claim.claimed.rows;
      options.onClaimed(claimed, claims, next);
      await begin(claimed, next, sentAt);
    },
  };
}
