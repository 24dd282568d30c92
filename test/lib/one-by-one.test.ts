import { expect, test } from "bun:test";

import { type InProgress, oneByOne } from "../../src/lib/one-by-one.ts";

test("work of one name is done one after the other, also after a failure, and others do not wait", async () => {
  const running: InProgress = new Map();
  const done: string[] = [];
  const first = Promise.withResolvers<void>();
  const works = [
    oneByOne(running, "a", () => first.promise).catch(({ message }: Error) => done.push(message)),
    oneByOne(running, "a", async () => done.push("second")),
    oneByOne(running, "a", async () => done.push("third")),
    oneByOne(running, "b", async () => done.push("other")),
  ];
  await works[3];
  expect(done).toEqual(["other"]);
  first.reject(new Error("first"));
  await Promise.all(works);
  expect(done.toSorted()).toEqual(["first", "other", "second", "third"]);
  expect(done.indexOf("second")).toBeLessThan(done.indexOf("third"));
  expect(running.size).toBe(0);
});
