import { getLogger } from "@logtape/logtape";

import type { AnswerChecker, Checked, Mismatch, ToCheck } from "../domain/answer-check.ts";
import type { Cancel, Clock } from "../lib/clock.ts";
import type { StartThread, Thread } from "../lib/thread.ts";

/** The longest check of an answer or a schema. */
const LONGEST_MS = 5000;
/** The limit for the first check of a thread, which loads the compiler of schemas. */
const LOADING_MS = 20_000;
/** A check at which this many threads have died is the cause. */
const MOST_TRIES = 2;

type Asked = {
  question: ToCheck;
  tries: number;
  answer: (mismatch: Mismatch | null) => void;
};

/*
 * The thread starts with the first check and answers in order, so that it works on the oldest one.
 *
 *   working   it has checks to do. The oldest has a time limit.
 *   too slow  the limit has passed: the thread is terminated, the oldest check reported as too slow, and a new
 *             thread gets the others.
 *   dead      a new thread gets all checks again; one at which a second thread dies is reported as the cause.
 */
export function createAnswerChecker({
  clock,
  startThread,
}: {
  clock: Pick<Clock, "setTimeout">;
  startThread: StartThread;
}): AnswerChecker {
  const log = getLogger(["gptrunner", "answers"]);
  /** By id, in the order of the requests. */
  const asked = new Map<number, Asked>();
  let thread: Thread<ToCheck> | undefined;
  let isLoaded = false;
  let cancelLimit: Cancel | undefined;
  let nextId = 1;

  function start(): Thread<ToCheck> {
    const started: Thread<ToCheck> = startThread<ToCheck, Checked>({
      onMessage({ id, mismatch }) {
        if (thread !== started) return;
        isLoaded = true;
        end(id, mismatch);
      },
      onDeath(why) {
        if (thread !== started) return;
        log.error("The thread that checks answers died: {why}", { why });
        giveUp(`cannot be checked: ${why}`, MOST_TRIES);
      },
    });
    for (const { question } of asked.values()) started.post(question);
    return started;
  }

  function end(id: number, mismatch: Mismatch | null): void {
    const one = asked.get(id);
    asked.delete(id);
    limitOldest();
    one?.answer(mismatch);
  }

  function limitOldest(): void {
    cancelLimit?.();
    cancelLimit = undefined;
    if (asked.size === 0) return;
    const ms = isLoaded ? LONGEST_MS : LOADING_MS;
    const problem = `takes longer than ${ms / 1000} seconds to check`;
    cancelLimit = clock.setTimeout(() => giveUp(problem, 1), ms);
  }

  /** Terminates the thread because of the oldest check, and gives the rest to a new one. */
  function giveUp(problem: string, mostTries: number): void {
    thread?.end();
    thread = undefined;
    isLoaded = false;
    const [oldest] = asked.values();
    if (oldest && ++oldest.tries >= mostTries)
      end(oldest.question.id, { problem, mayRepair: false });
    else limitOldest();
    if (asked.size > 0) thread ??= start();
  }

  function ask(toQuestion: (id: number) => ToCheck): Promise<Mismatch | null> {
    const question = toQuestion(nextId++);
    return new Promise((answer) => {
      asked.set(question.id, { question, tries: 0, answer });
      if (asked.size === 1) limitOldest();
      if (thread) thread.post(question);
      else thread = start();
    });
  }

  return {
    check: (body, text) => ask((id) => ({ id, body, text })),
    checkSchema: async (schema) => (await ask((id) => ({ id, schema })))?.problem ?? null,
    stop() {
      cancelLimit?.();
      thread?.end();
      thread = undefined;
      asked.clear();
    },
  };
}
