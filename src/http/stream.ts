/** A lazy body: `pieces` does nothing before the reader reads. */
export function toByteStream(pieces: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Passes pieces on until `signal` aborts, also while the next piece is awaited. Throws `why()` then. */
export async function* untilAborted<Piece>(
  signal: AbortSignal,
  pieces: AsyncIterable<Piece>,
  why: () => Error,
): AsyncGenerator<Piece> {
  const iterator = pieces[Symbol.asyncIterator]();
  let refuse: ((error: Error) => void) | undefined;
  const onAbort = () => refuse?.(why());
  signal.addEventListener("abort", onAbort, { once: true });
  // `Promise.race` would keep each piece in memory until the signal aborts.
  const next = () =>
    new Promise<IteratorResult<Piece>>((resolve, reject) => {
      refuse = reject;
      iterator.next().then(resolve, reject);
    });
  try {
    for (;;) {
      if (signal.aborted) throw why();
      const { value, done } = await next();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    const closing = iterator.return?.();
    // A generator that waits for its next piece closes only after it, and no caller is left to get its error.
    if (signal.aborted) closing?.catch(() => undefined);
    else await closing;
  }
}

/** Encodes pieces of text or bytes as bytes. */
export async function* toBytes(
  pieces: AsyncIterable<string | Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const piece of pieces) yield typeof piece === "string" ? encoder.encode(piece) : piece;
}
