import type { Cancel } from "../../lib/clock.ts";

/**
 * Pieces of a stream, with the timer `timeOut` while waiting for the provider, and `stalled` while waiting for the
 * client.
 */
export async function* watched(
  pieces: AsyncIterable<Uint8Array>,
  { timeOut, stalled, leave }: { timeOut: () => Cancel; stalled: () => Cancel; leave: () => void },
): AsyncGenerator<Uint8Array> {
  let cancel = timeOut();
  try {
    for await (const bytes of pieces) {
      cancel();
      cancel = stalled();
      yield bytes;
      cancel();
      cancel = timeOut();
    }
  } finally {
    cancel();
    // If the stream has ended by itself, this changes nothing.
    leave();
  }
}
