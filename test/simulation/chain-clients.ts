import type { BatchDraft } from "../../src/services/batch-draft.ts";
import { executeBatch } from "../../src/services/batch-moves.ts";
import { createBatch } from "../../src/services/create-batch.ts";
import { pilotBatch } from "../../src/services/pilot.ts";
import { type Acting, anyBatch, type Begun, remember } from "./acting.ts";
import { ANY_TASK } from "./provider.ts";

/*
 * The actions of clients with rows of batches, in worlds whose plan has `rows`. Other worlds draw no random number here,
 * so that their histories do not change.
 */

/** Rows that are equal to rows of other batches, reuse answers, or are skipped. */
export function addRowFields(acting: Acting, draft: BatchDraft, isDear: boolean): BatchDraft {
  const { luck, plan } = acting;
  const { rows } = plan;
  if (!rows) return draft;
  const { id = "", tasks = [], config } = draft;
  const isAlike = rows.alike && !isDear && luck.chance(0.5);
  return {
    ...draft,
    tasks: isAlike
      ? tasks.map((task, i) => {
          const [, flags = ""] = (task.prompt ?? "").split("|");
          return { ...task, prompt: `${ANY_TASK} row ${i % 5}|${flags}` };
        })
      : tasks,
    config:
      rows.skips && luck.chance(0.4)
        ? { ...config, onlyIf: `not ({{id}} contains '${luck.int(0, 3)}' and {{id}} != '${id}-0')` }
        : config,
    baseBatch: rows.bases && luck.chance(0.5) ? anyBatch(acting) : undefined,
  };
}

/**
 * A batch from the rows of another, which need not have ended: an existing batch, or a new one that is executed at some
 * time. Often the batch starts by itself.
 */
export function chain(acting: Acting): Begun {
  const { luck, ledger, node, caller } = acting;
  const { ctx } = node;
  const isOfOther = luck.chance(0.4);
  const inputBatch = isOfOther ? anyBatch(acting) : `p${luck.int(0, 7)}`;
  const id = `n${luck.int(0, 9)}`;
  const first = isOfOther ? null : firstOf(acting, inputBatch);
  const second = chained(acting, id, inputBatch);
  const isExecuted = luck.chance(0.7);
  const pauses = [0, 1, 2].map(() => luck.about(60));
  const execute = async (batch: string) => {
    await ctx.clock.sleep(pauses.pop() ?? 0);
    await executeBatch(ctx, batch, { isDryRun: false, payer: caller.key });
  };
  for (const batch of [id, inputBatch]) {
    remember(ledger.batches, batch);
    ledger.mayStartBatch(batch);
  }
  async function done(): Promise<void> {
    if (first) await createBatch(ctx, caller, first);
    await ctx.clock.sleep(pauses.pop() ?? 0);
    await createBatch(ctx, caller, second);
    if (isExecuted) await execute(id);
    if (first) await execute(inputBatch);
  }
  return {
    what: `chain ${id} to ${inputBatch}${isExecuted ? " and execute it" : ""}`,
    done: done(),
  };
}

function firstOf(acting: Acting, id: string): BatchDraft {
  const { luck, plan } = acting;
  const tasks = Array.from({ length: luck.int(1, 6) }, (_, i) => {
    const flags = plan.flags.filter(() => luck.chance(0.15));
    return { id: `${id}-${i}`, prompt: `${id}-${i}|${flags.join(" ")}`, model: "gpt-4o-mini" };
  });
  return addRowFields(acting, { id, tasks, config: {} }, false);
}

function chained(acting: Acting, id: string, inputBatch: string): BatchDraft {
  const { luck, plan } = acting;
  const answer = luck.pick(["", "", "{{result}}", "{{label}}"]);
  const config = {
    model: luck.chance(0.7) ? "gpt-4" : "gpt-4o-mini",
    // The flags of the first prompt follow the `|`.
    promptTemplate: `${ANY_TASK} after ${answer} {{prompt}}`,
    onlyIf: plan.rows?.skips && luck.chance(0.4) ? "not ({{id}} contains '1')" : undefined,
    maxConcurrency: luck.chance(0.3) ? luck.int(1, 8) : undefined,
  };
  const outputFile = luck.chance(0.2) ? `${id}.csv` : undefined;
  const baseBatch = plan.rows?.bases && luck.chance(0.3) ? anyBatch(acting) : undefined;
  const idempotencyKey = luck.chance(0.3) ? `chain ${id} ${inputBatch}` : undefined;
  return { id, inputBatch, config, outputFile, baseBatch, idempotencyKey };
}

/** Runs some rows, and then sometimes the rest, while the first ones may still run. */
export function pilot(acting: Acting, batch: string, isExecuted: boolean): Begun {
  const { luck, ledger, caller, node } = acting;
  ledger.mayTry(batch);
  if (isExecuted) ledger.mayStartBatch(batch);
  const kind = luck.pick(["limit", "sample"] as const);
  const rows = luck.int(1, 6);
  const { key: payer } = caller;
  return {
    what: `pilot of ${rows} rows of ${batch}${isExecuted ? ", then execute it" : ""}`,
    done: pilotBatch(node.ctx, batch, { kind, rows, payer }).then(() =>
      isExecuted ? executeBatch(node.ctx, batch, { isDryRun: false, payer }) : undefined,
    ),
  };
}
