import type { Plan } from "../db/unit.ts";
import type { AlertCode } from "../domain/alert.ts";
import { type Halt, HALTS, isHalt } from "../domain/failure.ts";
import type { Clock } from "../lib/clock.ts";
import { type AlertUnit, deleteAlert, insertAlert } from "../store/alerts.ts";
import { type Move, pauseBatch } from "../store/batch-moves.ts";
import { createKnown } from "./known.ts";
import type { Outcome } from "./outcome.ts";

const ALERTS: Record<Halt, AlertCode> = {
  quota_exhausted: "provider.quota_exceeded",
  unauthorized: "provider.unauthorized",
};

export type HaltUnit = { paused: Record<string, Move>; alerts: Record<string, AlertUnit> };

/**
 * A provider without quota, or one that refuses the key, refuses everything: the batches whose calls it refused are
 * paused, and one alert is raised. The first answer clears the alert.
 */
export function createHalts(clock: Pick<Clock, "monotonic">) {
  /**
   * Whether an account has an alert, according to the last commit. Unknown at first, and again after a while, because
   * other processes, which may have ended since, may have raised one.
   */
  const known = createKnown<"clear" | "raised">(clock);

  return {
    /** The unit to write for ended calls and for batches that cannot go on. */
    plan(outcomes: Outcome[], batches: ReadonlyMap<number, Halt>, now: number): Plan<HaltUnit> {
      const unit: HaltUnit = { paused: {}, alerts: {} };
      for (const [seq, cause] of batches) unit.paused[seq] = pauseBatch(seq, HALTS[cause], now);
      const news = new Map<string, "clear" | "raised">();
      const is = (account: string) => news.get(account) ?? known.get(account);
      let count = 0;
      const report = (alert: AlertUnit) => (unit.alerts[`a${count++}`] = alert);
      for (const outcome of outcomes) {
        if (outcome.kind !== "called") continue;
        const { failure, account } = outcome;
        const cause = failure?.cause ?? null;
        if (cause === null && is(account) !== "clear") {
          news.set(account, "clear");
          for (const code of Object.values(ALERTS)) report(deleteAlert(code, account, now));
        } else if (isHalt(cause) && is(account) !== "raised") {
          news.set(account, "raised");
          const { message } = HALTS[cause];
          report(insertAlert({ code: ALERTS[cause], subject: account, message, raisedAt: now }));
        }
      }
      return {
        unit,
        committed() {
          for (const [account, state] of news) known.set(account, state);
        },
      };
    },
  };
}
