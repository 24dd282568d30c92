import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { createLoop } from "../lib/loop.ts";
import {
  byNumber,
  type Difference,
  finishBatches,
  repairCounter,
  seqsOf,
} from "../store/counters.ts";
import { giveUpLease, holdsLease, renewLease, takeLease } from "../store/leases.ts";
import { readRows } from "../store/rows.ts";
import { repairSum, WRONG_SUMS, type WrongSum } from "../store/sums.ts";
import type { Which } from "../store/which.ts";
import { checkInvariants } from "./health.ts";

type Part = Pick<Context, "longReads" | "meters" | "writer" | "clock" | "random" | "client">;

export type Books = { counters: Difference[]; sums: WrongSum[] };

/** Recomputes every stored sum, and returns those that differ. Reads the whole database. */
export async function checkBooks(ctx: Part): Promise<Books> {
  return {
    counters: await checkInvariants(ctx),
    sums: await readRows(ctx.longReads.client, WRONG_SUMS),
  };
}

/** The lease of a repair. Two repairs at once would each add the difference. */
const LEASE = "repair";
const LEASE_MS = 600_000;
/** How many units are written in one commit, so that it blocks the database only briefly. */
const AT_ONCE = 200;

/**
 * Corrects all wrong sums while servers go on counting. Returns the differences before and after: none after, unless
 * another program writes to the database. Throws `SERVICE_UNAVAILABLE` while another repair is in progress.
 */
export async function repairBooks(ctx: Part): Promise<{ before: Books; after: Books }> {
  const repaired = await underLease(ctx, async (isAlone) => {
    const before = await checkBooks(ctx);
    await repair(ctx, before, isAlone);
    return { before, after: await checkBooks(ctx) };
  });
  if (repaired) return repaired;
  throw new AppError(
    "SERVICE_UNAVAILABLE",
    "Another repair is in progress, or was killed within the last ten minutes",
  );
}

/** Corrects the counters of batches, and returns those that were wrong; `undefined` while another repair is in progress. */
export function repairCounters(ctx: Part): Promise<Difference[] | undefined> {
  return underLease(ctx, async (isAlone) => {
    const counters = await checkInvariants(ctx);
    await repair(ctx, { counters, sums: [] }, isAlone);
    return counters;
  });
}

/**
 * Runs work that only one process may do at a time; `undefined` if another one does it. `isAlone` is no longer true if
 * another one has begun, because this process stood still for longer than its lease.
 */
async function underLease<T>(
  ctx: Part,
  work: (isAlone: Which) => Promise<T>,
): Promise<T | undefined> {
  const holder = newId(ctx, "repair");
  const { lease } = await ctx.writer.write({ lease: takeLease(LEASE, holder, LEASE_MS) });
  if (lease.rows.length === 0) return undefined;
  const renewal = createLoop({
    log: getLogger(["gptrunner", "repair"]),
    complaint: "The lease of a repair could not be renewed",
    clock: ctx.clock,
    work: async () => {
      await ctx.writer.write({ lease: renewLease(LEASE, holder, LEASE_MS) });
    },
    backstopMs: LEASE_MS / 10,
  });
  renewal.start();
  try {
    return await work(holdsLease(LEASE, holder));
  } finally {
    await renewal.stop();
    await ctx.writer.write({ given: giveUpLease(LEASE, holder) });
  }
}

async function repair(ctx: Part, { counters, sums }: Books, isAlone: Which): Promise<void> {
  const now = ctx.clock.now();
  const statements = [
    ...counters.map((difference) => repairCounter(difference, now, isAlone)),
    ...sums.map((sum) => repairSum(sum, isAlone)),
  ];
  for (let i = 0; i < statements.length; i += AT_ONCE)
    await ctx.writer.write({ corrected: statements.slice(i, i + AT_ONCE) });
  // A batch that seemed unfinished may have no tasks left to run.
  const ids = [...new Set(counters.map(({ batchId }) => batchId))];
  for (let i = 0; i < ids.length; i += AT_ONCE) {
    const rows = await readRows(ctx.client, seqsOf(ids.slice(i, i + AT_ONCE)));
    const batches = byNumber(rows.map(({ seq }) => seq));
    await ctx.writer.write({ finished: finishBatches(batches, now) });
  }
}
