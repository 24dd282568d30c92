import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import {
  afterFailure,
  CAUSES,
  type Cause,
  isWaiting,
  type Trial,
} from "../../src/domain/failure.ts";
import { ceilingFor, type LaneLoad, laneWeight, shareSlots } from "../../src/domain/lanes.ts";

const POLICY = { maxRetries: 3, baseMs: 100, maxMs: 1000 };

const failed = (
  cause: Cause,
  retryAfterMs: number | null,
  providerStatus: number | null = null,
) => ({
  cause,
  retryAfterMs,
  providerStatus,
});

describe("after a failure", () => {
  test.each([
    ["server_error", 1, 0, null, { kind: "retry", at: 0 }],
    ["server_error", 1, 1, null, { kind: "retry", at: 100 }],
    ["server_error", 3, 1, null, { kind: "retry", at: 400 }],
    ["server_error", 4, 1, null, { kind: "fail" }],
    ["server_error", 1, 1, 5000, { kind: "retry", at: 5100 }],
    ["server_error", 1, 0, 1e12, { kind: "retry", at: 3_600_000 }],
    ["server_error", 1, 0, -7, { kind: "retry", at: 0 }],
    ["rate_limited", 9, 1, 5000, { kind: "wait" }],
    ["unauthorized", 1, 0, null, { kind: "fail" }],
    ["quota_exhausted", 1, 0, 1000, { kind: "fail" }],
  ] as const)(
    "%s no. %i with luck %d and %p ms asked",
    (cause, failures, luck, retryAfterMs, next) => {
      expect(afterFailure(failed(cause, retryAfterMs), failures, POLICY, 0, () => luck)).toEqual(
        next,
      );
    },
  );

  test("a probe call does not count as an attempt if it reached no provider or there are others", () => {
    const after = (cause: Cause, status: number | null, trial: Trial) =>
      afterFailure(failed(cause, null, status), 9, POLICY, 0, () => 0, { earlier: 0, trial }).kind;
    const NOBODY = [
      ["connect_failed", null],
      ["server_error", 503],
    ] as const;
    const SOMEBODY = [
      ["server_error", 500],
      ["timeout", null],
      ["connection_lost", null],
    ] as const;
    for (const [cause, status] of NOBODY)
      expect(
        (["only way", "beside others", "none"] as const).map((trial) =>
          after(cause, status, trial),
        ),
      ).toEqual(["wait", "wait", "fail"]);
    for (const [cause, status] of SOMEBODY)
      expect(
        (["only way", "beside others", "none"] as const).map((trial) =>
          after(cause, status, trial),
        ),
      ).toEqual(["fail", "wait", "fail"]);
    expect(after("not_found", 404, "beside others")).toBe("fail");
  });

  test("a task waits for a provider's refusals a hundred times, and then they are failures", () => {
    const refused = (earlier: number) =>
      afterFailure(failed("rate_limited", 1), 9, POLICY, 0, () => 0, { earlier, trial: "none" })
        .kind;
    expect([refused(0), refused(99), refused(100)]).toEqual(["wait", "wait", "fail"]);
  });

  test("the wait is never shorter than requested nor longer than the limits", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(CAUSES) as Cause[])),
        fc.integer({ min: 1, max: 50 }),
        fc.option(fc.double({ min: -10, max: 1e7, noNaN: true }), { nil: null }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (cause, failures, retryAfterMs, luck) => {
          const policy = { maxRetries: 40, baseMs: 500, maxMs: 60_000 };
          const next = afterFailure(
            failed(cause, retryAfterMs),
            failures,
            policy,
            1000,
            () => luck,
          );
          if (next.kind === "wait") return isWaiting(cause);
          if (next.kind === "fail") return !CAUSES[cause].retryable || failures > 40;
          const asked = Math.max(0, Math.min(retryAfterMs ?? 0, 3_600_000));
          return next.at >= 1000 + asked && next.at <= 1001 + asked + 60_000;
        },
      ),
    );
  });
});

const lane = (key: string, load: Partial<LaneLoad> = {}): LaneLoad => ({
  key,
  batch: 1,
  inFlight: 0,
  ready: 1000,
  weight: laneWeight(load.batch ?? 1),
  batchLimit: 1000,
  lastServed: 0,
  ...load,
});

/** How many calls each lane starts, by its key. */
const share = (lanes: LaneLoad[], capacity: number) =>
  new Map([...shareSlots(lanes, capacity)].map(([{ key }, starts]) => [key, starts]));

describe("sharing slots", () => {
  test("gives everything except the reserve to a single batch", () => {
    expect(share([lane("a")], 64)).toEqual(new Map([["a", 60]]));
    expect(share([lane("a")], 1)).toEqual(new Map([["a", 1]]));
  });

  test("splits evenly between batches, whatever their size", () => {
    const shares = share([lane("a", { ready: 1e6 }), lane("b", { batch: 2, ready: 40 })], 64);
    expect(shares).toEqual(
      new Map([
        ["a", 30],
        ["b", 30],
      ]),
    );
  });

  test("gives the slots that one does not need to the others", () => {
    const shares = share([lane("a"), lane("b", { batch: 2, ready: 3 })], 64);
    expect(shares).toEqual(
      new Map([
        ["a", 57],
        ["b", 3],
      ]),
    );
  });

  test("lets a single task start although batches fill their slots", () => {
    const single = lane("s", { batch: 0, ready: 5 });
    expect(share([lane("a", { inFlight: 60 }), single], 64)).toEqual(new Map([["s", 4]]));
  });

  test("lets a new lane start although one with hanging calls holds all slots that a lane may", () => {
    const hanging = lane("hanging", { inFlight: 60 });
    const fresh = lane("fresh", { batch: 2 });
    expect(share([hanging, fresh], 64)).toEqual(new Map([["fresh", 1]]));
  });

  test("gives a hanging lane nothing more while another can use the slots", () => {
    const hanging = lane("hanging", { inFlight: 30 });
    const working = lane("working", { batch: 2, inFlight: 20 });
    expect(share([hanging, working], 64)).toEqual(new Map([["working", 10]]));
  });

  test("serves the lanes that waited longest if there are fewer slots than lanes", () => {
    const lanes = Array.from({ length: 10 }, (_, i) =>
      lane(`l${i}`, { batch: i + 1, lastServed: 10 - i }),
    );
    expect([...share(lanes, 2).keys()]).toEqual(["l9", "l8"]);
  });

  const lanes = fc
    .uniqueArray(
      fc.record({
        key: fc.string({ minLength: 1, maxLength: 3 }),
        batch: fc.integer({ min: 0, max: 3 }),
        inFlight: fc.integer({ min: 0, max: 20 }),
        ready: fc.integer({ min: 0, max: 50 }),
        batchLimit: fc.integer({ min: 0, max: 30 }),
        lastServed: fc.integer({ min: 0, max: 5 }),
      }),
      { selector: ({ key }) => key, maxLength: 8 },
    )
    .map((loads) => loads.map((load) => lane(load.key, load)));

  test("gives several at once with many lanes, but not before a lane's first calls have ended", () => {
    const many = (load: Partial<LaneLoad>) =>
      Array.from({ length: 200 }, (_, i) => lane(`l${i}`, { batch: i + 1, ...load }));
    expect([...share(many({}), 64).values()].every((starts) => starts === 1)).toBe(true);
    // Slots for idle lanes only are given one by one.
    expect(share(many({ lastServed: 1 }), 64).size).toBeLessThan(16);
    const hanging = many({ lastServed: 1, inFlight: 1 });
    expect(Math.max(...share(hanging, 264).values())).toBe(1);
  });

  test("never exceeds the capacity, a lane's work or a batch's limit", () => {
    fc.assert(
      fc.property(lanes, fc.integer({ min: 1, max: 64 }), (loads, capacity) => {
        const shares = share(loads, capacity);
        const before = loads.reduce((sum, { inFlight }) => sum + inFlight, 0);
        const started = [...shares.values()].reduce((sum, n) => sum + n, 0);
        expect(before + started).toBeLessThanOrEqual(Math.max(before, capacity));
        for (const load of loads) {
          const starts = shares.get(load.key) ?? 0;
          expect(starts).toBeLessThanOrEqual(load.ready);
          if (starts === 0) continue;
          const mates = loads.filter(({ batch }) => batch === load.batch);
          const calls = mates.reduce((sum, m) => sum + m.inFlight + (shares.get(m.key) ?? 0), 0);
          expect(calls).toBeLessThanOrEqual(Math.max(...mates.map(({ batchLimit }) => batchLimit)));
        }
      }),
    );
  });

  test("leaves no slot idle while a lane may start work", () => {
    fc.assert(
      fc.property(lanes, fc.integer({ min: 1, max: 64 }), (loads, capacity) => {
        const uniform = loads.map((load) => ({ ...load, batchLimit: 1000 }));
        const shares = share(uniform, capacity);
        const total = uniform.reduce((sum, l) => sum + l.inFlight + (shares.get(l.key) ?? 0), 0);
        for (const load of uniform) {
          const calls = load.inFlight + (shares.get(load.key) ?? 0);
          const hasMore = (shares.get(load.key) ?? 0) < load.ready;
          if (hasMore)
            expect(total).toBeGreaterThanOrEqual(ceilingFor(load.batch, calls, capacity));
        }
      }),
    );
  });
});
