import { expect, test } from "bun:test";

import type { Checked, ToCheck } from "../../src/domain/answer-check.ts";
import { createAnswerChecker } from "../../src/services/answer-checker.ts";
import { virtualTime } from "../support/clock.ts";
import { fakeThreads } from "../support/fake-threads.ts";

/** A checker whose threads and clock the test controls. */
function startChecker() {
  const { threads, startThread } = fakeThreads<ToCheck, Checked>();
  const time = virtualTime();
  return { checker: createAnswerChecker({ clock: time.clock, startThread }), threads, time };
}

const FINE = { mismatch: null };

test("an answer whose check takes too long counts as a mismatch, and delays no other", async () => {
  const { checker, threads, time } = startChecker();
  const slow = checker.check("slow", "");
  const other = checker.check("other", "");
  await time.pass(20_000);
  expect(await slow).toMatchObject({
    problem: "takes longer than 20 seconds to check",
    mayRepair: false,
  });
  const [first, second] = threads;
  expect([first?.isEnded, second?.posted.map(({ id }) => id)]).toEqual([true, [2]]);
  // Messages of the first thread after its end are ignored.
  first?.answer({ id: 2, mismatch: { problem: "late", mayRepair: true } });
  second?.answer({ id: 2, ...FINE });
  expect([await other, time.next()]).toEqual([null, Infinity]);
});

test("a dead thread is replaced, and an answer that kills two threads counts as a mismatch", async () => {
  const { checker, threads } = startChecker();
  const deadly = checker.check("deadly", "");
  const other = checker.checkSchema({});
  threads[0]?.die();
  threads[1]?.die();
  expect(await deadly).toEqual({ problem: "cannot be checked: killed", mayRepair: false });
  threads[2]?.answer({ id: 2, ...FINE });
  expect([await other, threads.length]).toEqual([null, 3]);
});
