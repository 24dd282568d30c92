import { type Statement, statementsOf } from "../db/unit.ts";
import type { AlertCode } from "../domain/alert.ts";
import { type Halt, HALTS, isHalt } from "../domain/failure.ts";
import { deleteAlert, insertAlert } from "../store/alerts.ts";
import { pauseBatch } from "../store/batch-moves.ts";
import type { Outcome } from "./outcome.ts";

const ALERTS: Record<Halt, AlertCode> = {
  quota_exhausted: "provider.quota_exceeded",
  unauthorized: "provider.unauthorized",
};

/**
 * A provider that has no quota left or refuses the key refuses everything: the batches whose calls
 * it refused are paused and an alert is raised, once; with its first answer all is clear again.
 */
export function createHalts() {
  /** Accounts without an alert. None at first, since earlier processes may have raised theirs. */
  const clear = new Set<string>();
  const raised = new Set<string>();

  return {
    /** What is to be written for calls that ended and batches that can go on no more. */
    write(
      outcomes: Outcome[],
      batches: ReadonlyMap<number, Halt>,
      now: number,
    ): Statement<unknown>[] {
      const statements = [...batches].flatMap(([seq, cause]) =>
        statementsOf(pauseBatch(seq, HALTS[cause], now)),
      );
      for (const outcome of outcomes) {
        if (outcome.kind !== "called") continue;
        const { failure, account } = outcome;
        const cause = failure?.cause ?? null;
        if (cause === null && !clear.has(account)) {
          clear.add(account);
          raised.delete(account);
          for (const code of Object.values(ALERTS))
            statements.push(...statementsOf(deleteAlert(code, account, now)));
        } else if (isHalt(cause) && !raised.has(account)) {
          raised.add(account);
          clear.delete(account);
          const { message } = HALTS[cause];
          const code = ALERTS[cause];
          const alert = { code, subject: account, message, raisedAt: now };
          statements.push(...statementsOf(insertAlert(alert)));
        }
      }
      return statements;
    },
  };
}
