import { describe, expect, test } from "bun:test";

import { createStarter, type Startable } from "../../src/engine/starter.ts";
import { toldTime } from "../support/clock.ts";

type One = Startable & { n: number };

function givenStarter() {
  const { reported, clock } = toldTime();
  const started: One[] = [];
  const starter = createStarter<One>((one) => started.push(one), clock);
  let made = 0;
  return {
    clock: reported,
    started,
    starter,
    calls: (count: number, isUrgent = false) =>
      Array.from({ length: count }, (): One => ({
        n: made++,
        call: { isUrgent },
        startedAt: 0,
        isYoung: false,
      })),
    end: (from: number, to: number) => started.slice(from, to).forEach((one) => starter.end(one)),
  };
}

describe("a worker thread starts", () => {
  test("64 calls at a time if answers are immediate", () => {
    const { starter, started, calls, end } = givenStarter();
    starter.add(calls(1000));
    expect(started).toHaveLength(64);
    end(0, 10);
    expect(started).toHaveLength(74);
    end(10, 64);
    expect(started).toHaveLength(128);
  });

  test("64 more when the calls in flight are old, however many there are", () => {
    const { starter, started, calls, clock } = givenStarter();
    starter.add(calls(1000));
    for (let ms = 20; ms <= 200; ms += 20) {
      clock.now = ms;
      starter.add([]);
    }
    expect(started).toHaveLength(11 * 64);
  });

  test("one for each old call that ends, and none for young calls over the limit", () => {
    const { starter, started, calls, clock, end } = givenStarter();
    starter.add(calls(1000));
    clock.now = 20;
    starter.add([]);
    expect(started).toHaveLength(128);
    // The old calls end and as many begin, so 128 are young. When the first 64 of those end, no slot is free.
    end(0, 64);
    expect(started).toHaveLength(192);
    end(64, 128);
    expect(started).toHaveLength(192);
    end(128, 138);
    expect(started).toHaveLength(202);
  });

  test("urgent calls before all other waiting calls, and every call once", () => {
    const { starter, started, calls, end } = givenStarter();
    starter.add(calls(2000));
    starter.add(calls(2, true));
    end(0, 2);
    expect(started.slice(64).map(({ n }) => n)).toEqual([2000, 2001]);
    for (let i = 2; i < started.length; i++) end(i, i + 1);
    expect(new Set(started.map(({ n }) => n)).size).toBe(2002);
  });
});
