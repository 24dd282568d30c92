import { expect, test } from "bun:test";

import { createSystemClock } from "../../src/lib/clock.ts";
import { createLineWriter } from "../../src/lib/line-writer.ts";
import { until } from "../support/server.ts";

/** A file descriptor that accepts `room` bytes until it is emptied. */
function startPipe(room = Infinity) {
  const written: string[] = [];
  const pipe = {
    written,
    left: room,
    write(_fd: number, bytes: Uint8Array): number {
      if (pipe.left === 0) throw Object.assign(new Error("full"), { code: "EAGAIN" });
      const some = bytes.subarray(0, pipe.left);
      pipe.left -= some.length;
      written.push(new TextDecoder().decode(some));
      return some.length;
    },
  };
  return pipe;
}

test("the lines of a turn are one write, and an urgent line writes them at once", async () => {
  const pipe = startPipe();
  const writer = createLineWriter(1, createSystemClock(), pipe.write);
  writer.add("a");
  writer.add("b");
  expect(pipe.written).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(pipe.written).toEqual(["a\nb\n"]);
  writer.add("c");
  writer.add("d", true);
  expect(pipe.written).toEqual(["a\nb\n", "c\nd\n"]);
});

test("lines for a full pipe are written later, complete and in order", async () => {
  const pipe = startPipe(3);
  const writer = createLineWriter(1, createSystemClock(), pipe.write);
  writer.add("one", true);
  writer.add("two", true);
  expect(pipe.written.join("")).toBe("one");
  pipe.left = 4;
  writer.add("three", true);
  expect(pipe.written.join("")).toBe("one\ntwo");
  pipe.left = Infinity;
  await until(() => pipe.written.join("") === "one\ntwo\nthree\n" || undefined);
});

test("a reader that has left is not an error", () => {
  const writer = createLineWriter(1, createSystemClock(), () => {
    throw Object.assign(new Error("gone"), { code: "EPIPE" });
  });
  expect(() => writer.add("a", true)).not.toThrow();
});
