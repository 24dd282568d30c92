import { describe, expect, test } from "bun:test";

import { createSystemClock } from "../../src/lib/clock.ts";
import type { StartThread } from "../../src/lib/thread.ts";
import type { Measured, ToMeasure } from "../../src/providers/token-measure.ts";
import { countTokens } from "../../src/providers/tokens.ts";
import { createTokenCounter } from "../../src/services/token-counter.ts";

describe("counting tokens", () => {
  test("is exact for ordinary text", async () => {
    expect(await countTokens("gpt-4o", "hello world ".repeat(1000))).toBe(2001);
  });

  test.each(["ACGTTGCA", " ", "é", "="])(
    "of a million characters of %j takes no longer than of its sample",
    async (text) => {
      const short = await countTokens("gpt-4o", text.repeat(8192 / text.length));
      const long = await countTokens("gpt-4o", text.repeat(1_048_576 / text.length));
      expect(long / short).toBeCloseTo(128, 0);
    },
  );
});

describe("the thread that counts tokens", () => {
  const REQUEST = { model: "gpt-4o", body: JSON.stringify({ prompt: "abcd".repeat(100) }) };
  const GUESSED = {
    promptTokens: Math.ceil(REQUEST.body.length / 4),
    maxOutputTokens: null,
    tier: null,
  };

  /** A counter over threads that do what the test says. */
  function givenCounter() {
    const threads: { onMessage: (message: Measured) => void; onDeath: (why: string) => void }[] =
      [];
    const posted: ToMeasure[] = [];
    const startThread: StartThread = <Sent, Received>(handlers: {
      onMessage: (message: Received) => void;
      onDeath: (why: string) => void;
    }) => {
      threads.push(handlers as (typeof threads)[number]);
      return { post: (message: Sent) => posted.push(message as ToMeasure), end: () => {} };
    };
    return {
      threads,
      posted,
      counter: createTokenCounter({ clock: createSystemClock(), startThread }),
    };
  }

  test("answers every request, in any order", async () => {
    const { threads, posted, counter } = givenCounter();
    const answers = [counter.measure([REQUEST], 1e6), counter.measure([REQUEST], 1e6)];
    for (const { id } of posted.toReversed())
      threads[0]?.onMessage({
        id,
        sizes: [{ promptTokens: id, maxOutputTokens: null, tier: null }],
      });
    expect((await Promise.all(answers)).map(([size]) => size?.promptTokens)).toEqual([1, 2]);
  });

  test("that is late or dies is replaced by an estimate", async () => {
    const { threads, counter } = givenCounter();
    expect(await counter.measure([REQUEST], 1)).toEqual([GUESSED]);
    const cut = counter.measure([REQUEST], 1e6);
    threads[0]?.onDeath("it fell over");
    expect(await cut).toEqual([GUESSED]);
    expect(await counter.measure([REQUEST], 1e6)).toEqual([GUESSED]);
    expect(threads).toHaveLength(1);
  });

  test("that is far behind gets no further requests", async () => {
    const { posted, counter } = givenCounter();
    await Promise.all(Array.from({ length: 150 }, () => counter.measure([REQUEST], 1)));
    expect(posted).toHaveLength(100);
    counter.stop();
  });
});
