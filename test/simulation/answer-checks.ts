import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { FLEX_GIVEN_UP } from "../../src/domain/flex.ts";
import type { LogRow } from "./history.ts";
import { ANY_TASK, type ProviderCall, REQUEST_ID } from "./provider.ts";
import { REPEATED } from "./repeat-clients.ts";
import { IS_END } from "./run-checks.ts";

type Claim = { task: number; run: number; owner: number; claim: number };
type Ended = {
  task: string;
  taskSeq: number;
  run: number;
  requestId: string;
  hasGivenUpFlex: number;
};

const CLAIMS = "SELECT task, run, owner, claim FROM queue WHERE owner IS NOT NULL";

/** The calls with which runs ended. Runs that reused a stored answer have none. */
const ENDED_WITH = `
  SELECT t.id AS task, e.task AS taskSeq, e.run, e.request_id AS requestId,
         instr(coalesce(e.adjusted, ''), '${FLEX_GIVEN_UP}') > 0 AS hasGivenUpFlex
  FROM json_each(?) r CROSS JOIN executions e ON e.task = r.value ->> 0 AND e.run = r.value ->> 1
    CROSS JOIN tasks t ON t.seq = e.task
  WHERE NOT e.is_cached AND e.request_id LIKE '${REQUEST_ID}%'`;

/**
 * Checks that a run ends with the result of its own call: the call was made for its task and under its last claim, and no
 * other run ended with it.
 */
export function createAnswerChecks(
  truth: Client,
  calls: readonly ProviderCall[],
  { now, complain }: { now: () => number; complain: (what: string) => void },
) {
  /** The time and the claim number of each run's last claim. */
  const claims = new Map<string, { claim: string; at: number }>();
  const used = new Map<ProviderCall, string>();

  function check({ task, taskSeq, run, requestId, hasGivenUpFlex }: Ended): void {
    const call = calls[Number(requestId.slice(REQUEST_ID.length))];
    if (!call) return complain(`run ${run} of ${task} ended with a call that was not made`);
    const key = `${taskSeq}/${run}`;
    // Prompts from a file name only the row, and repeated requests do not choose the id of their task.
    const isNamed = !call.task.startsWith(ANY_TASK) && !call.task.startsWith(REPEATED);
    if (isNamed && !task.endsWith(call.task))
      complain(`run ${run} of ${task} ended with the answer to ${call.task}`);
    if (call.at < (claims.get(key)?.at ?? 0))
      complain(`run ${run} of ${task} ended with a call that was made before it was claimed`);
    if ((used.get(call) ?? key) !== key)
      complain(`run ${run} of ${task} ended with a call that another run had ended with`);
    if (hasGivenUpFlex === 1 && call.isFlex)
      complain(`run ${run} of ${task} is said to have given up flex, and was answered by it`);
    used.set(call, key);
  }

  return {
    /** To call when a task was claimed. */
    async noteClaims(): Promise<void> {
      for (const row of rowsOf<Claim>(await truth.execute(CLAIMS))) {
        const [key, claim] = [`${row.task}/${row.run}`, `${row.owner}/${row.claim}`];
        if (claims.get(key)?.claim !== claim) claims.set(key, { claim, at: now() });
      }
    },
    async checkEnds(rows: readonly LogRow[]): Promise<void> {
      const ended = rows.flatMap(({ type, taskSeq, run }) =>
        IS_END.test(type) && taskSeq !== null && run !== null ? [[taskSeq, run]] : [],
      );
      if (ended.length === 0) return;
      const found = await truth.execute({ sql: ENDED_WITH, args: [JSON.stringify(ended)] });
      for (const one of rowsOf<Ended>(found)) check(one);
    },
  };
}
