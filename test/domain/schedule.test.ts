import { describe, expect, test } from "bun:test";

import {
  CronError,
  dueFires,
  isTimezone,
  nextFire,
  nextFires,
  requireCron,
} from "../../src/domain/cron.ts";
import { planFires, renderFileName, unknownNameVariables } from "../../src/domain/schedule.ts";

const NEW_YORK = "America/New_York";

function fires(expression: string, after: string, count: number, timezone = "UTC"): string[] {
  return nextFires({ expression, timezone }, Date.parse(after), count).map((at) =>
    new Date(at).toISOString(),
  );
}

describe("a cron expression", () => {
  test.each([
    ["0 9 * * *", "2026-01-01T09:00:00.000Z"],
    ["  0   9 * * *  ", "2026-01-01T09:00:00.000Z"],
    ["*/15 * * * *", "2026-01-01T00:15:00.000Z"],
    ["10-20/5 * * * *", "2026-01-01T00:10:00.000Z"],
    ["30 5 * * * *", "2026-01-01T00:05:30.000Z"],
    ["* * * * * *", "2026-01-01T00:00:01.000Z"],
    ["0 0 * * MON-FRI", "2026-01-02T00:00:00.000Z"],
    ["0 0 * * 7", "2026-01-04T00:00:00.000Z"],
    ["0 0 1 feb,MAR *", "2026-02-01T00:00:00.000Z"],
    ["0 0 L * *", "2026-01-31T00:00:00.000Z"],
    ["0 0 * * 5#2", "2026-01-09T00:00:00.000Z"],
    ["0 0 29 2 *", "2028-02-29T00:00:00.000Z"],
    ["0 0 13 * 5", "2026-01-02T00:00:00.000Z"],
    ["@hourly", "2026-01-01T01:00:00.000Z"],
    ["@Daily", "2026-01-02T00:00:00.000Z"],
    ["@midnight", "2026-01-02T00:00:00.000Z"],
    ["@weekly", "2026-01-04T00:00:00.000Z"],
    ["@monthly", "2026-02-01T00:00:00.000Z"],
    ["@yearly", "2027-01-01T00:00:00.000Z"],
    ["@annually", "2027-01-01T00:00:00.000Z"],
  ])("%s fires first at %s", (expression, first) => {
    requireCron({ expression, timezone: "UTC" });
    expect(fires(expression, "2026-01-01T00:00:00Z", 1)).toEqual([first]);
  });

  test.each([
    ["", /five fields .* not 0/],
    ["* * * *", /five fields .* not 4/],
    ["* * * * * * *", /five fields .* not 7/],
    ["2026-01-01T00:00:00Z", /five fields/],
    ["every day at nine", /five fields|not understood/],
    ["*/0 * * * *", /minute: the step 0/],
    ["*/ * * * *", /minute: the step/],
    ["*/61 * * * *", /minute: the step 61/],
    ["0 */24 * * *", /hour: the step 24/],
    ["60 * * * *", /minute: 60 is not from 0 to 59/],
    ["0 24 * * *", /hour: 24/],
    ["0 0 0 * *", /day of month: 0 is not from 1 to 31/],
    ["0 0 32 * *", /day of month: 32/],
    ["0 0 * 13 *", /month: 13/],
    ["0 0 * * 8", /day of week: 8/],
    ["61 0 0 * * *", /second: 61/],
    ["50-10 * * * *", /50-10/],
    ["5-70 * * * *", /minute: 70/],
    ["1,,2 * * * *", /minute: there is nothing beside a comma/],
    ["1, * * * *", /minute: there is nothing beside a comma/],
    ["-1 * * * *", /./],
    ["1.5 * * * *", /minute: 1.5 is not understood/],
    ["0 0 * foo *", /month: foo is not understood/],
    ["0 0 * * someday", /day of week|understood|./],
    ["0 0 * * 5#6", /./],
    ["5/10 * * * *", /stepping/],
    ["0 0 30 2 *", /date never comes/],
    ["0 0 31 4,6,9,11 *", /date never comes/],
    ["@reboot", /there is no @reboot; there are @yearly/],
    ["@fortnightly", /there is no @fortnightly/],
  ])("%j is refused, and it is said why", (expression, message) => {
    expect(() => requireCron({ expression, timezone: "UTC" })).toThrow(CronError);
    expect(() => requireCron({ expression, timezone: "UTC" })).toThrow(message);
  });
});

describe("on the days when clocks change", () => {
  test("a fixed time in the gap fires once, at the first moment after it", () => {
    expect(fires("30 2 * * *", "2026-03-07T12:00:00Z", 2, NEW_YORK)).toEqual([
      "2026-03-08T07:00:00.000Z", // 03:00, where 02:30 would have been
      "2026-03-09T06:30:00.000Z",
    ]);
  });

  test("02:30 comes once in autumn, after the hour that comes twice", () => {
    expect(fires("30 2 * * *", "2026-10-31T12:00:00Z", 2, NEW_YORK)).toEqual([
      "2026-11-01T07:30:00.000Z",
      "2026-11-02T07:30:00.000Z",
    ]);
  });

  test("a fixed time that comes twice fires once, at the first of the two", () => {
    expect(fires("30 1 * * *", "2026-10-31T12:00:00Z", 2, NEW_YORK)).toEqual([
      "2026-11-01T05:30:00.000Z",
      "2026-11-02T06:30:00.000Z",
    ]);
  });

  test("lists of hours are fixed times, too", () => {
    expect(fires("30 2,14 * * *", "2026-03-08T05:00:00Z", 3, NEW_YORK)).toEqual([
      "2026-03-08T07:00:00.000Z",
      "2026-03-08T18:30:00.000Z",
      "2026-03-09T06:30:00.000Z",
    ]);
  });

  test("an expression with a wildcard goes by elapsed time, through gap and repetition", () => {
    expect(fires("*/30 * * * *", "2026-03-08T06:15:00Z", 3, NEW_YORK)).toEqual([
      "2026-03-08T06:30:00.000Z",
      "2026-03-08T07:00:00.000Z",
      "2026-03-08T07:30:00.000Z",
    ]);
    expect(fires("*/30 * * * *", "2026-11-01T05:15:00Z", 4, NEW_YORK)).toEqual([
      "2026-11-01T05:30:00.000Z",
      "2026-11-01T06:00:00.000Z",
      "2026-11-01T06:30:00.000Z",
      "2026-11-01T07:00:00.000Z",
    ]);
  });

  test("every day of a year has one fire, in zones of all kinds", () => {
    for (const timezone of [NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"])
      for (const expression of ["30 2 * * *", "0 2 * * *", "59 1 * * *", "0 0 * * *"]) {
        const days = nextFires({ expression, timezone }, Date.UTC(2026, 0, 1, 12), 365).map((at) =>
          new Date(at).toLocaleDateString("sv-SE", { timeZone: timezone }),
        );
        expect(new Set(days).size).toBe(365);
      }
  });

  test("the due times, counted backwards, are the next times, counted forwards", () => {
    const from = Date.parse("2026-03-07T00:00:00Z");
    const until = Date.parse("2026-03-09T00:00:00Z");
    for (const expression of ["30 * * * *", "30 2,3 * * *", "*/20 * * * *"]) {
      const zoned = { expression, timezone: NEW_YORK };
      const first = nextFire(zoned, from) ?? 0;
      const all = dueFires(zoned, first, until, 1000);
      const few = dueFires(zoned, first, until, 3);
      expect(all.omitted).toBeNull();
      expect(few.fires).toEqual(all.fires.slice(-3));
      if (few.omitted) expect(few.omitted).toEqual({ from: first, to: all.fires.at(-4) ?? 0 });
    }
  });
});

test.each([
  ["UTC", true],
  ["Europe/Berlin", true],
  ["Asia/Kolkata", true],
  ["Mars/Phobos", false],
  ["+02:00", false],
  ["", false],
])("%j is a time zone: %p", (name, isOne) => {
  expect(isTimezone(name)).toBe(isOne);
});

describe("of the due times", () => {
  const minutely = { expression: "* * * * *", timezone: "UTC", catchUpWindowMs: 3_600_000 };
  const at = (time: string) => Date.parse(`2026-01-01T${time}Z`);
  const plan = (from: string, now: string, fields = {}) =>
    planFires({ ...minutely, nextRun: at(from), ...fields }, at(now)).fires.map(
      ({ at, cause, missed }) =>
        `${new Date(at).toISOString().slice(11, 16)} ${missed === null ? cause : "missed"}`,
    );

  test("a fire in time runs", () => {
    expect(plan("10:00:00", "10:00:00.004")).toEqual(["10:00 schedule"]);
  });

  test("a fire that is seconds late is still in time, whatever the window", () => {
    expect(plan("10:00:00", "10:00:09", { catchUpWindowMs: 0 })).toEqual(["10:00 schedule"]);
  });

  test("the newest runs to catch up, and the others are missed", () => {
    expect(plan("10:00:00", "10:02:30")).toEqual([
      "10:00 missed",
      "10:01 missed",
      "10:02 catch_up",
    ]);
  });

  test("all times older than the window are missed", () => {
    const hourly = { expression: "@hourly", catchUpWindowMs: 600_000 };
    expect(plan("10:00:00", "11:10:00", hourly)).toEqual(["10:00 missed", "11:00 catch_up"]);
    expect(plan("10:00:00", "11:10:01", hourly)).toEqual(["10:00 missed", "11:00 missed"]);
  });

  test("a very large number of missed times shares one entry with their range", () => {
    const { fires, next } = planFires(
      { ...minutely, expression: "* * * * * *", nextRun: at("00:00:00") },
      at("20:00:00"),
      10,
    );
    expect(fires).toHaveLength(11);
    expect(fires[0]).toMatchObject({
      at: at("00:00:00"),
      missed: expect.stringContaining("2026-01-01T00:00:00.000Z to 2026-01-01T19:59:50.000Z"),
    });
    expect(fires.at(-1)).toEqual({ at: at("20:00:00"), cause: "schedule", missed: null });
    expect(next).toBe(at("20:00:01"));
  });
});

test("the name of a results file has date and time in the schedule's zone", () => {
  const values = { at: Date.parse("2026-03-08T04:05:06Z"), timezone: NEW_YORK, runId: "run-1" };
  expect(renderFileName("out/{{date}}_{{ time }}_{{runId}}.csv", values)).toBe(
    "out/2026-03-07_23-05-06_run-1.csv",
  );
  expect(unknownNameVariables("{{date}}-{{hour}}")).toEqual(["hour"]);
});

test("a time that comes twice in autumn gives two names", () => {
  const name = (at: string, timezone: string) =>
    renderFileName("{{date}}-{{time}}", { at: Date.parse(at), timezone, runId: "run-1" });
  expect([
    name("2026-10-25T00:30:00Z", "Europe/Berlin"),
    name("2026-10-25T01:30:00Z", "Europe/Berlin"),
    name("2026-10-25T02:30:00Z", "Europe/Berlin"),
    name("2026-04-04T14:45:00Z", "Australia/Lord_Howe"),
    name("2026-04-04T15:15:00Z", "Australia/Lord_Howe"),
    name("2026-10-25T00:30:00Z", "Antarctica/Troll"),
    name("2026-10-25T02:30:00Z", "Antarctica/Troll"),
    name("2010-03-04T12:30:00Z", "Antarctica/Casey"),
    name("2010-03-04T15:30:00Z", "Antarctica/Casey"),
  ]).toEqual([
    "2026-10-25-02-30-00",
    "2026-10-25-02-30-00b",
    "2026-10-25-03-30-00",
    "2026-04-05-01-45-00",
    "2026-04-05-01-45-00b",
    "2026-10-25-02-30-00",
    "2026-10-25-02-30-00b",
    "2010-03-04-23-30-00",
    "2010-03-04-23-30-00b",
  ]);
});
