import { expect, test } from "bun:test";

import { createOverlap } from "../../src/lib/overlap.ts";

test("one step runs while the next is prepared, and an error is thrown when nothing runs any more", async () => {
  const overlap = createOverlap();
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await overlap.add(first.promise);
  let hasEnded = false;
  const added = overlap.add(second.promise).then(
    () => "added",
    (error: Error) => {
      expect(hasEnded).toBe(true);
      return error.message;
    },
  );
  first.reject(new Error("the first failed"));
  await Promise.resolve();
  hasEnded = true;
  second.reject(new Error("the second failed, too"));
  expect(await added).toBe("the first failed");
  await overlap.settled();
  expect(overlap.end()).rejects.toThrow("the second failed, too");
});

test("the end waits for the last step", async () => {
  const overlap = createOverlap();
  const last = Promise.withResolvers<void>();
  await overlap.add(last.promise);
  let isOver = false;
  const end = overlap.end().then(() => (isOver = true));
  await Promise.resolve();
  expect(isOver).toBe(false);
  last.resolve();
  await end;
});
