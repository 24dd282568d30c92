import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { fateOf } from "../db/refusal.ts";
import { isEmpty, nameResults, type Plan, type Statement } from "../db/unit.ts";
import { isSingle } from "../domain/batch.ts";
import { portionsOf } from "../lib/portions.ts";
import { type PauseUnit, pauseUncounted } from "../store/budgets.ts";
import { postpone } from "../store/postpone.ts";
import { settle } from "../store/settle.ts";
import { type ClaimedRun, withoutResult } from "./claimed-run.ts";
import { createDearest } from "./dearest.ts";
import { createHalts, type HaltUnit } from "./halts.ts";
import type { Decisions } from "./in-flight.ts";
import type { Outcome } from "./outcome.ts";
import { createProgress } from "./progress.ts";

/** Committed outcomes, and the decisions about them. */
export type Settled = Decisions & { outcomes: Outcome[] };

export type SettlementOptions = {
  owner: () => number;
  decide: (outcomes: Outcome[]) => Decisions;
  /** Whether a cap or a budget may limit a lane. */
  mayBeLimited: (lane: number) => boolean;
  /** Called as soon as a part is committed; its data may be dropped only then. */
  onSettled: (settled: Settled) => void;
};

/** Outcomes that are not committed, with the error. */
export type Unsettled = { outcomes: Outcome[]; error: unknown };

type SettlementUnit = {
  settled: Statement[];
  postponed: Statement[];
  uncounted: PauseUnit | undefined;
  progress: { reported: Statement | undefined };
  halted: HaltUnit;
};

/** The assumed size of a run's rows without its texts. */
const ROW_BYTES = 500;
/**
 * The most outcomes in one unit, about ten milliseconds of the event loop on a local file. A commit that takes long can
 * end only between two units (`writer.ts`).
 */
const MOST_OUTCOMES = 256;

/*
 * Commits what became of runs. Of a set of outcomes that is reported,
 *
 *   committed   in one unit, or in a few if they are large. They are forgotten.
 *   refused     by the database, because of their content: nothing took effect. Each half is committed
 *               by itself, and so on, until the one to blame is alone. It ends as failed, without its
 *               answer and without another call; then, if that is refused, too, without its usage.
 *   unsettled   the database was unavailable, or the effect is unknown. The same is committed again
 *               later, which does nothing to runs that are settled already: their rows are gone
 *               from the queue, or have another claim.
 */
export function createSettlement(ctx: Context, options: SettlementOptions) {
  const log = getLogger(["gptrunner", "dispatcher"]);
  const halts = createHalts(ctx.clock);
  const progress = createProgress();
  const dearest = createDearest();
  /** Runs whose outcomes were refused by themselves, and how often, so that they do not hold up others again. */
  const stepsTaken = new WeakMap<ClaimedRun, number>();

  function planOf(outcomes: Outcome[]): Plan<SettlementUnit> {
    const [now, steadyNow] = [ctx.clock.now(), ctx.clock.steady()];
    const decisions = options.decide(outcomes);
    const { finals, tallies, retries, batches } = decisions;
    const owner = options.owner();
    const reported = progress.plan(batches, now, steadyNow);
    const halted = halts.plan(outcomes, decisions.halts, now);
    const spent = dearest.plan(tallies);
    const unpriced = unpricedBatches(outcomes);
    const mayBeLimited = outcomes.some(({ run }) => options.mayBeLimited(run.row.lane));
    const settling = {
      finals,
      tallies,
      batches: [...batches],
      dearest: spent.news,
      mayBeLimited,
      isExclusive: ctx.isExclusive,
    };
    return {
      unit: {
        settled: finals.length > 0 ? settle(settling, owner, now) : [],
        postponed: retries.length > 0 ? postpone(retries, owner, now) : [],
        // Also if the run goes on: its retry and the other rows may cost anything.
        uncounted: mayBeLimited && unpriced.length > 0 ? pauseUncounted(unpriced, now) : undefined,
        progress: reported.unit,
        halted: halted.unit,
      },
      committed(results) {
        reported.committed(results.progress);
        halted.committed(results.halted);
        spent.committed();
        options.onSettled({ ...decisions, outcomes });
      },
    };
  }

  /** Returns the outcomes that are left, and why. */
  async function commit(outcomes: Outcome[]): Promise<Unsettled[]> {
    try {
      const plan = planOf(outcomes);
      // Outcomes without a decision are dropped, too.
      if (isEmpty(plan.unit)) plan.committed(nameResults(plan.unit, []));
      else await ctx.writer.carryOut(plan);
      return [];
    } catch (error) {
      if (fateOf(error) !== "refused") return [{ outcomes, error }];
      const [first] = outcomes;
      if (first && outcomes.length === 1) return commitRest(first, error);
      const middle = Math.ceil(outcomes.length / 2);
      return [
        ...(await commit(outcomes.slice(0, middle))),
        ...(await commit(outcomes.slice(middle))),
      ];
    }
  }

  /** Ends a run as failed because its outcome alone was refused. */
  async function commitRest(refused: Outcome, error: unknown): Promise<Unsettled[]> {
    const { run, kind } = refused;
    const step = stepsTaken.get(run) ?? 0;
    stepsTaken.set(run, step + 1);
    if (kind === "putBack" || step > 1) return [{ outcomes: [refused], error }];
    log.warning("The database refuses the result of task {task}: {error}", {
      task: run.row.task,
      error,
    });
    return commit([withoutResult(refused, reasonOf(error), step === 1)]);
  }

  return {
    /** Returns the outcomes that are not committed, to be passed again. Never rejects. */
    async commit(outcomes: Outcome[]): Promise<Unsettled[]> {
      const isSuspect = ({ run }: Outcome) => stepsTaken.has(run);
      const portions = [
        ...portionsOf(
          outcomes.filter((outcome) => !isSuspect(outcome)),
          (outcome) => Math.max(1 / MOST_OUTCOMES, weigh(outcome) / ctx.chunks.flushBytes),
          1,
        ),
        ...outcomes.filter(isSuspect).map((outcome) => [outcome]),
      ];
      return (await Promise.all(portions.map(commit))).flat();
    },
    /** Forgets the progress of batches that are no longer running. */
    keepOnly: progress.keepOnly,
  };
}

/** The batches of calls that were answered, or may have been, at an unknown cost. */
function unpricedBatches(outcomes: Outcome[]): number[] {
  const batches = new Set<number>();
  for (const outcome of outcomes) {
    if (outcome.kind !== "called") continue;
    const { lane, isDryRun } = outcome.run.row;
    const { promptTokens, costUsd } = outcome.final;
    const isUnpriced = promptTokens !== null && costUsd === null && isDryRun === 0;
    if (isUnpriced && !isSingle(lane)) batches.add(lane);
  }
  return [...batches];
}

function weigh(outcome: Outcome): number {
  if (outcome.kind === "putBack") return ROW_BYTES;
  const { response, error } = outcome.final;
  return ROW_BYTES + (response?.length ?? 0) + (error?.length ?? 0);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
