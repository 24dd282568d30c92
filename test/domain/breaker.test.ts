import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import { createBreaker } from "../../src/domain/breaker.ts";

const OPTIONS = { calls: 2, tasks: 5, baseMs: 1000, maxMs: 8000 };
const THERE_IS_ANOTHER = true;
const THERE_IS_NONE = false;

const reachedNobody = (task: number) => ({ task, isUnreachable: true });
const broke = (task: number) => ({ task, isUnreachable: false });

function fail(breaker: ReturnType<typeof createBreaker>, task: number, now: number): void {
  breaker.end(reachedNobody(task), breaker.start(), now);
}

function givenOpen() {
  const breaker = createBreaker(OPTIONS);
  for (let task = 1; task <= 5; task++) fail(breaker, task, 0);
  return breaker;
}

describe("a breaker", () => {
  test("opens after two failures in a row if there is a fallback", () => {
    const breaker = createBreaker(OPTIONS);
    fail(breaker, 1, 0);
    expect(breaker.room(0, THERE_IS_ANOTHER)).toBe(Infinity);
    fail(breaker, 1, 0);
    expect(breaker.room(0, THERE_IS_ANOTHER)).toBe(0);
    expect(breaker.room(0, THERE_IS_NONE)).toBe(Infinity);
  });

  test("without a fallback opens only after failures of five tasks, so that one bad task does not open it", () => {
    const breaker = createBreaker(OPTIONS);
    for (let i = 0; i < 50; i++) fail(breaker, i % 4, 0);
    expect(breaker.room(0, THERE_IS_NONE)).toBe(Infinity);
    fail(breaker, 4, 0);
    expect(breaker.room(0, THERE_IS_NONE)).toBe(0);
  });

  test("stays closed without a fallback while some calls reach the provider", () => {
    const breaker = createBreaker(OPTIONS);
    for (let task = 0; task < 50; task++)
      breaker.end(task % 4 === 3 ? broke(task) : reachedNobody(task), breaker.start(), 0);
    expect(breaker.room(0, THERE_IS_ANOTHER)).toBe(0);
    expect(breaker.room(0, THERE_IS_NONE)).toBe(Infinity);
  });

  test("counts failures in a row: an answer between them resets the count", () => {
    const breaker = createBreaker(OPTIONS);
    for (let task = 0; task < 50; task++) {
      fail(breaker, task, 0);
      breaker.end("answered", breaker.start(), 0);
    }
    expect(breaker.state(0)).toBe("closed");
  });

  test("is probed before it lets a call through, and then lets one through", () => {
    const breaker = givenOpen();
    expect(breaker.isProbeDue(999)).toBe(false);
    expect(breaker.isProbeDue(1000)).toBe(true);
    breaker.probing();
    expect(breaker.isProbeDue(1000)).toBe(false);
    expect(breaker.room(1000, THERE_IS_NONE)).toBe(0);
    breaker.probed(true, 1010);
    expect(breaker.state(1010)).toBe("half_open");
    expect(breaker.room(1010, THERE_IS_NONE)).toBe(1);
    const isTrial = breaker.start();
    expect(breaker.room(1010, THERE_IS_NONE)).toBe(0);
    breaker.end("answered", isTrial, 1020);
    expect(breaker.state(1020)).toBe("closed");
    expect(breaker.room(1020, THERE_IS_NONE)).toBe(Infinity);
  });

  test("stays open for twice as long each time that the probe or the trial fails, up to a limit", () => {
    const breaker = givenOpen();
    const waits: number[] = [];
    let now = 0;
    for (let i = 0; i < 6; i++) {
      const opened = now;
      now = breaker.until();
      waits.push(now - opened);
      breaker.probing();
      if (i % 2 === 0) breaker.probed(false, now);
      else {
        breaker.probed(true, now);
        fail(breaker, 9, now);
      }
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
  });

  test("is not kept open longer by calls that were in flight when it opened", () => {
    const breaker = createBreaker(OPTIONS);
    const started = Array.from({ length: 64 }, () => breaker.start());
    for (const [task, isTrial] of started.entries())
      breaker.end(reachedNobody(task), isTrial, task);
    expect(breaker.until()).toBeLessThanOrEqual(1001);
  });

  test("never stays open: it always lets calls through again when the provider is back", () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("call" as const),
        verdict: fc.oneof(
          fc.constantFrom("answered" as const, "nothing" as const),
          fc.record({ task: fc.nat(9), isUnreachable: fc.boolean() }),
        ),
      }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(5000) }),
      fc.record({ kind: fc.constant("probe" as const), isThere: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, hasOther) => {
        const breaker = createBreaker(OPTIONS);
        let now = 0;
        const probe = (isThere: boolean) => {
          if (!breaker.isProbeDue(now)) return;
          breaker.probing();
          breaker.probed(isThere, now);
        };
        for (const one of steps) {
          if (one.kind === "wait") now += one.ms;
          else if (one.kind === "probe") probe(one.isThere);
          else if (breaker.room(now, hasOther) > 0) breaker.end(one.verdict, breaker.start(), now);
        }
        now += OPTIONS.maxMs;
        probe(true);
        expect(breaker.room(now, hasOther)).toBeGreaterThan(0);
        breaker.end("answered", breaker.start(), now);
        expect(breaker.room(now, hasOther)).toBe(Infinity);
      }),
    );
  });
});
