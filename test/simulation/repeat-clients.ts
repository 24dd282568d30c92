import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { createBatch } from "../../src/services/create-batch.ts";
import { createTask } from "../../src/services/tasks.ts";
import type { Acting, Begun } from "./acting.ts";

/** The start of the prompts of repeated requests. */
export const REPEATED = "again-";
const MOST_REPEATS = 6;

/**
 * A client that repeats a request with the same idempotency key, at any node, until it is answered: the first one may have
 * been lost, or its answer, or it may take effect later. Other clients repeat the same request meanwhile.
 */
export function repeat(acting: Acting): Begun {
  const { luck, caller } = acting;
  const name = `${REPEATED}${caller.key}-${luck.int(0, 5)}`;
  return { what: `ask for ${name} until it is answered`, done: ask(acting, name) };
}

async function ask(acting: Acting, name: string): Promise<void> {
  const { luck, timeline, plan, ledger, complain } = acting;
  let last: unknown;
  for (let i = 0; i < MOST_REPEATS && timeline.now() < plan.activeMs; i++) {
    const node = acting.nodeFor(luck);
    const patienceMs = luck.about(300);
    const answer =
      node && send({ ...acting, node }, name).catch((error: unknown) => (last = error));
    const late = new Promise<undefined>((resolve) =>
      timeline.at(timeline.now() + patienceMs, () => resolve(undefined)),
    );
    const id = await Promise.race([answer, late]);
    if (typeof id !== "string") continue;
    const before = ledger.repeated.get(name) ?? id;
    if (before !== id) complain(`${name} was answered with ${before} and with ${id}`);
    ledger.repeated.set(name, before);
    return;
  }
  if (last) throw last;
}

/** A task that is executed at once, or a batch; the name decides which. */
async function send({ node: { ctx }, caller }: Acting, name: string): Promise<string> {
  const requestOf = (row: number) => ({ prompt: `${name}-${row}|`, model: "gpt-4o-mini" });
  const idempotencyKey = name;
  if (/[0-2]$/.test(name)) {
    const execute = { isDryRun: false, priority: undefined };
    return (await createTask(ctx, caller, { ...requestOf(0), idempotencyKey }, execute)).id;
  }
  const tasks = [0, 1, 2].map(requestOf);
  return (await createBatch(ctx, caller, { tasks, config: {}, idempotencyKey })).id;
}

/** Checks that each repeated request has made one thing. */
export async function checkRepeats(truth: Client, complain: (what: string) => void): Promise<void> {
  const found = await truth.execute(
    `SELECT i.prompt, count(*) AS n FROM task_inputs i JOIN tasks t ON t.seq = i.task
       LEFT JOIN batches b ON b.seq = t.batch
     WHERE i.prompt LIKE '${REPEATED}%' AND b.status IS NOT 'ingesting'
     GROUP BY i.prompt HAVING count(*) > 1`,
  );
  for (const { prompt, n } of rowsOf<{ prompt: string; n: number }>(found))
    complain(`${prompt} was asked for under one idempotency key, and there are ${n} of it`);
}
