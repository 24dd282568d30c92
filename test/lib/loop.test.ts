import { describe, expect, test } from "bun:test";

import { LoggedError } from "../../src/lib/logged-error.ts";
import { createLoop, type LoopOptions, type More } from "../../src/lib/loop.ts";
import { virtualTime } from "../support/clock.ts";

/** A started loop that records when it works. It then calls `work.do`. */
function givenLoop(options: Partial<LoopOptions> = {}) {
  const time = virtualTime();
  const begun: number[] = [];
  const complaints: Record<string, unknown>[] = [];
  const work = { do: async (): Promise<More | void> => undefined };
  const note = (_message: unknown, properties: unknown) =>
    complaints.push(properties as Record<string, unknown>);
  const loop = createLoop({
    log: { error: note, debug: note, info: () => {} } as unknown as LoopOptions["log"],
    complaint: "The work could not be done",
    clock: time.clock,
    work() {
      begun.push(time.clock.monotonic());
      return work.do();
    },
    ...options,
  });
  loop.start();
  return { ...time, loop, work, begun, complaints };
}

describe("a loop", () => {
  test("runs at once when it is nudged, and otherwise after its backstop", async () => {
    const { loop, begun, pass } = givenLoop({ backstopMs: 100 });
    loop.nudge();
    expect(begun).toEqual([0]);
    await pass(250);
    expect(begun).toEqual([0, 100, 200]);
  });

  test("runs at the earliest of the reported times", async () => {
    const { loop, begun, pass } = givenLoop({ backstopMs: 1000 });
    loop.nudge(50);
    loop.nudge(20);
    loop.nudge(70);
    await pass(500);
    expect(begun).toEqual([20]);
  });

  test("runs again when its work says so, but not later than its backstop", async () => {
    const { loop, work, begun, pass } = givenLoop({ backstopMs: 100 });
    work.do = async () => ({ inMs: begun.length === 1 ? 10 : 700 });
    loop.nudge();
    await pass(150);
    expect(begun).toEqual([0, 10, 110]);
  });

  test("never runs twice at once; all nudges during a turn lead to one more turn", async () => {
    const { loop, work, begun, pass } = givenLoop();
    const gate = Promise.withResolvers<void>();
    work.do = () => gate.promise;
    for (let i = 0; i < 5; i++) loop.nudge();
    await pass(100);
    expect(begun).toEqual([0]);
    gate.resolve();
    await pass(100);
    expect(begun).toEqual([0, 100]);
  });

  test("pauses between turns, so that nudges in the pause lead to one turn", async () => {
    const { loop, begun, pass } = givenLoop({ pauseMs: () => 30 });
    loop.nudge();
    await pass(10);
    loop.nudge();
    loop.nudge();
    await pass(10);
    expect(begun).toEqual([0]);
    await pass(100);
    expect(begun).toEqual([0, 30]);
  });

  test("logs a failure and retries with growing delays, even if it is nudged", async () => {
    const { loop, work, begun, complaints, pass } = givenLoop({ retryMs: 10, maxRetryMs: 40 });
    const error = new Error("the database is away");
    work.do = async () => {
      if (begun.length < 5) throw error;
    };
    loop.nudge();
    for (let i = 0; i < 30; i++) {
      await pass(5);
      loop.nudge();
    }
    expect(begun.slice(0, 5)).toEqual([0, 10, 30, 70, 110]);
    expect(complaints.map(({ inMs }) => inMs)).toEqual([10, 20, 40, 40]);
    expect(complaints[0]).toEqual({
      complaint: "The work could not be done",
      inMs: 10,
      error,
      failures: 1,
    });
    await pass(0);
    const before = begun.length;
    loop.nudge();
    expect(begun.length).toBe(before + 1);
  });

  test("looks at once on request even after a failure, and reports the end of the work", async () => {
    const { loop, work, begun, pass } = givenLoop({ retryMs: 1000 });
    work.do = async () => {
      throw new Error("no");
    };
    await loop.look();
    work.do = async () => undefined;
    await loop.look();
    expect(begun).toEqual([0, 0]);
    await pass(5000);
    expect(begun).toEqual([0, 0]);
  });

  test("that is asked to look during a turn looks once more, for all requests together", async () => {
    const { loop, work, begun, pass } = givenLoop();
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    work.do = () => gates[begun.length - 1]!.promise;
    const seen: string[] = [];
    const look = async (name: string) => {
      await loop.look();
      seen.push(name);
    };
    const looks = [look("first"), look("second"), look("third")];
    gates[0]!.resolve();
    await pass(0);
    expect([begun.length, seen]).toEqual([2, ["first"]]);
    gates[1]!.resolve();
    await Promise.all(looks);
    expect([begun.length, seen]).toEqual([2, ["first", "second", "third"]]);
  });

  test("finishes its turn when it is stopped, and runs no more", async () => {
    const { loop, work, begun, next, pass } = givenLoop({ backstopMs: 10 });
    const gate = Promise.withResolvers<void>();
    work.do = () => gate.promise;
    loop.nudge();
    loop.nudge();
    let isStopped = false;
    const stopping = loop.stop().then(() => (isStopped = true));
    await pass(100);
    expect(isStopped).toBe(false);
    gate.resolve();
    await stopping;
    loop.nudge();
    await loop.look();
    await pass(100);
    expect([begun, next()]).toEqual([[0], Infinity]);
  });

  test("continues when it is started again, even during its last turn", async () => {
    const { loop, work, begun, pass } = givenLoop({ backstopMs: 10 });
    const gate = Promise.withResolvers<void>();
    work.do = () => gate.promise;
    loop.nudge();
    const stopping = loop.stop();
    loop.start();
    gate.resolve();
    await stopping;
    work.do = async () => undefined;
    await pass(25);
    expect(begun).toEqual([0, 10, 20]);
  });

  test("reports for how long its work has failed, until it succeeds", async () => {
    const { loop, work, pass } = givenLoop({ retryMs: 10, maxRetryMs: 10 });
    expect(loop.trouble()).toBeNull();
    work.do = () => Promise.reject(new Error("the disk is full"));
    loop.nudge();
    await pass(35);
    expect(loop.trouble()).toMatchObject({
      complaint: "The work could not be done",
      error: new Error("the disk is full"),
      forMs: 35,
    });
    work.do = async () => undefined;
    await pass(10);
    expect(loop.trouble()).toBeNull();
  });

  test("sleeps for at most a minute, because long timers fire at once", async () => {
    const { next } = givenLoop({ backstopMs: 30 * 86_400_000 });
    expect(next()).toBe(60_000);
  });

  test("logs a lasting failure once a minute, and logs its end", async () => {
    const said: string[] = [];
    const log = Object.fromEntries(
      ["error", "info", "debug"].map((level) => [level, () => said.push(level)]),
    ) as unknown as LoopOptions["log"];
    const { work, loop, pass } = givenLoop({ log, maxRetryMs: 1000 });
    work.do = () => Promise.reject(new Error("no"));
    loop.nudge();
    await pass(90_000);
    expect(said.filter((level) => level === "error")).toHaveLength(2);
    work.do = async () => undefined;
    await pass(2000);
    expect(said.at(-1)).toBe("info");

    said.length = 0;
    work.do = () => Promise.reject(new LoggedError("the database cannot be reached"));
    loop.nudge();
    await pass(3000);
    work.do = async () => undefined;
    await pass(2000);
    expect(new Set(said)).toEqual(new Set(["debug"]));
  });
});
