import { expect, test } from "bun:test";

import { createOutage } from "../../src/db/outage.ts";

/** An outage with a clock that stands still, and the beginnings of its log lines. */
function observe() {
  const lines: string[] = [];
  let now = 0;
  const note = (message: unknown) => void lines.push(String(message).slice(21));
  const outage = createOutage("db", { monotonic: () => now }, { error: note, warning: note });
  outage.begin();
  return { outage, lines, pass: (ms: number) => (now += ms) };
}

test("an outage is logged when it begins, once a minute, and when it ends", () => {
  const { outage, lines, pass } = observe();
  for (let ms = 0; ms < 150_000; ms += 100) {
    outage.failed("no connection");
    pass(100);
  }
  outage.answered();
  expect(lines.map((line) => line.slice(0, 13))).toEqual([
    "cannot be rea",
    "has not been ",
    "has not been ",
    "answers again",
  ]);
});

test("of many short outages few are logged, and each that lasts", () => {
  const { outage, lines, pass } = observe();
  for (let ms = 0; ms < 20_000; ms += 100) {
    outage.failed("HTTP status 503");
    pass(50);
    outage.answered();
    pass(50);
  }
  expect(lines.length).toBeLessThanOrEqual(6);
  outage.failed("no connection");
  pass(1000);
  outage.failed("no connection");
  outage.answered();
  expect(lines.slice(-2).map((line) => line.slice(0, 13))).toEqual([
    "cannot be rea",
    "answers again",
  ]);
});
