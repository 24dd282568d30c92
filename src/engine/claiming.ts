import type { Context } from "../context.ts";
import { fateOf, isAnswerTooLarge } from "../db/refusal.ts";
import { isEmpty, type Plan, type ResultOf } from "../db/unit.ts";
import { claim, type Claimed, type ClaimedRow, type LaneClaim } from "../store/claim.ts";
import type { FeedUnit } from "../store/feed.ts";
import { findLost, releaseUnknown } from "../store/release.ts";
import { readRows } from "../store/rows.ts";
import { type ClaimId, isComplete, type Texts } from "./texts.ts";

/** How often to compare claims on a shared database, where a claim may take effect after its request was given up. */
const COMPARE_MS = 5000;

export type ClaimingOptions = {
  owner: () => number;
  /** Whether this process still owns what it has claimed. */
  isAlive: (since?: number) => boolean;
  texts: Texts;
  /** The claims of which this process knows. */
  known: () => [task: number, claim: number][];
  /** How many hints have come that claims were ended, here or at other processes. */
  hints: () => number;
  /** Called with the rows that were claimed for the wanted lanes, before any of them begins. */
  onClaimed: (rows: ClaimedRow[], claims: LaneClaim[], claimNo: number) => void;
  /** Begins claimed runs, which are known from then on. */
  begin: (rows: Claimed[], claimNo: number) => void;
};

/** Which claim it is, the monotonic time at which it was sent, and the hints that had come by then. */
type SentClaim = ClaimId & { at: number; hints: number };

/** How often a claim is compared, at most, with what the database says that this process holds. */
const MOST_LOOKS = 3;

/*
 * Feeds batches, and claims. A claim is
 *
 *   made       its answer lists what was claimed. Runs whose texts are included begin at once, the others
 *              when their texts are read. If there is a hint meanwhile that claims were ended, those that are
 *              still held are read first.
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

  /** The rows that were not cancelled, deleted or handed back since, as far as this process has heard. */
  async function stillHeld(rows: Claimed[], { owner, claimNo, hints }: SentClaim) {
    let [held, heard] = [rows, hints];
    for (let looks = 0; looks < MOST_LOOKS && heard !== options.hints(); looks++) {
      heard = options.hints();
      const claims = held.map(({ task }): [number, number] => [task, claimNo]);
      const found = await readRows(ctx.client, findLost(owner, claims));
      const lost = new Set(found.map(({ task }) => task));
      held = held.filter(({ task }) => !lost.has(task));
    }
    return held;
  }

  /** Returns how many of the rows began. */
  async function beginHeld(rows: Claimed[], sent: SentClaim): Promise<number> {
    // Without a hint they begin in the same round in which the answer came, before anything else can end them here.
    const held = sent.hints === options.hints() ? rows : await stillHeld(rows, sent);
    if (held.length === 0 || !options.isAlive(sent.at)) return 0;
    options.begin(held, sent.claimNo);
    return held.length;
  }

  async function begin(rows: ClaimedRow[], sent: SentClaim): Promise<void> {
    isDoubtful = rows.length > 0;
    const complete = rows.filter(isComplete);
    const others = rows.filter((row) => !isComplete(row));
    let begun = await beginHeld(complete, sent);
    if (others.length > 0) begun += await beginHeld(await texts.complete(others, sent), sent);
    isDoubtful = begun < rows.length;
  }

  return {
    /** Whether there may be claims of this process that it does not know. */
    isDoubtful: () => isDoubtful,

    async claim(claims: LaneClaim[], feeding: Plan<FeedUnit> | undefined): Promise<void> {
      const now = ctx.clock.now();
      const isClaiming = claims.length > 0;
      const next = claimNo + 1;
      const sent = {
        owner: owner(),
        claimNo: next,
        at: ctx.clock.monotonic(),
        hints: options.hints(),
      };
      const compares = isDoubtful || (!ctx.isExclusive && ctx.clock.monotonic() >= compareAt);
      const rows = claims.reduce((sum, { limit }) => sum + limit, 0);
      const textBytes = Math.min(mostTextBytes, texts.bytesFor(rows, 3));
      const unit = {
        released: compares ? releaseUnknown(sent.owner, next, options.known()) : undefined,
        fed: feeding?.unit,
        claim: isClaiming ? claim(claims, sent.owner, next, now, textBytes) : undefined,
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
      await begin(claimed, sent);
    },
  };
}
