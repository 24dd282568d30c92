import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { type Difference, finishBatches, repairCounter, seqsOf } from "../store/counters.ts";
import { giveUpLease, takeLease } from "../store/leases.ts";
import { readRows } from "../store/rows.ts";
import { repairSum, WRONG_SUMS, type WrongSum } from "../store/sums.ts";
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
  const holder = newId(ctx, "repair");
  const { lease } = await ctx.writer.write({ lease: takeLease(LEASE, holder, LEASE_MS) });
  if (lease.rows.length === 0)
    throw new AppError(
      "SERVICE_UNAVAILABLE",
      "Another repair is in progress, or was killed within the last ten minutes",
    );
  try {
    const before = await checkBooks(ctx);
    await repair(ctx, before);
    return { before, after: await checkBooks(ctx) };
  } finally {
    await ctx.writer.write({ given: giveUpLease(LEASE, holder) });
  }
}

async function repair(ctx: Part, { counters, sums }: Books): Promise<void> {
  const now = ctx.clock.now();
  const statements = [
    ...counters.map((difference) => repairCounter(difference, now)),
    ...sums.map(repairSum),
  ];
  for (let i = 0; i < statements.length; i += AT_ONCE)
    await ctx.writer.write({ corrected: statements.slice(i, i + AT_ONCE) });
  // A batch that seemed unfinished may have no tasks left to run.
  const ids = [...new Set(counters.map(({ batchId }) => batchId))];
  for (let i = 0; i < ids.length; i += AT_ONCE) {
    const rows = await readRows(ctx.client, seqsOf(ids.slice(i, i + AT_ONCE)));
    const seqs = JSON.stringify(rows.map(({ seq }) => seq));
    await ctx.writer.write({ finished: finishBatches(seqs, now) });
  }
}
