import { expect, test } from "bun:test";

import { createSharedRoom } from "../../src/lib/shared-room.ts";

test("requests wait in order for room, and one larger than the limit runs alone", async () => {
  const enter = createSharedRoom(10);
  const never = new AbortController().signal;
  const entered: string[] = [];
  const come = async (name: string, size: number, signal = never) => {
    const leave = await enter(size, signal);
    entered.push(name);
    return leave;
  };
  const first = await come("first", 6);
  const large = come("large", 50);
  const last = come("last", 1);
  const nothing = await come("nothing", 0);
  expect(entered).toEqual(["first", "nothing"]);

  nothing();
  first();
  const leaveLarge = await large;
  expect(entered).toEqual(["first", "nothing", "large"]);
  leaveLarge();
  leaveLarge();
  await last;
  expect(entered.at(-1)).toBe("last");
});

test("a request that is given up does not wait any more, and uses no room", async () => {
  const enter = createSharedRoom(10);
  const never = new AbortController().signal;
  const leave = await enter(10, never);
  const gone = new AbortController();
  const given = enter(10, gone.signal);
  gone.abort();
  (await given)();
  const next = enter(10, never);
  leave();
  (await next)();
});
