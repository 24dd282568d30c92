import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { type ClaimedRun, mismatched } from "./claimed-run.ts";
import type { Called } from "./outcome.ts";

/** A call that ended, and the text of its answer, if that is to be checked. */
export type Answered = { called: Called; text: string | null };

/** The same call, failed if the provider itself has reported that the answer does not match. */
function withProvidersCheck({ called, text }: Answered): Called {
  const { failure } = called;
  if (failure?.cause !== "schema_mismatch") return called;
  return mismatched(called, text, { problem: failure.message, mayRepair: true });
}

/**
 * Checks answers that must match a schema, while their runs keep their slots, and passes the calls to `end`, as
 * failed if they do not match. Calls of runs that are not `known` any more by then are dropped.
 */
export function createChecking(
  { answers }: Pick<Context, "answers">,
  { known, end }: { known: (run: ClaimedRun) => boolean; end: (calls: Called[]) => void },
) {
  const log = getLogger(["gptrunner", "dispatcher"]);

  async function check({ called, text }: Answered): Promise<void> {
    const mismatch = await answers.check(called.run.row.body, text);
    if (known(called.run)) end([mismatch ? mismatched(called, text, mismatch) : called]);
  }

  return (answered: Answered[]): void => {
    const isChecked = ({ called: { failure, run } }: Answered) =>
      failure === null && run.row.maxRepairs !== null;
    end(answered.flatMap((one) => (isChecked(one) ? [] : withProvidersCheck(one))));
    for (const one of answered)
      if (isChecked(one)) background(log, "The check of an answer", check(one));
  };
}
