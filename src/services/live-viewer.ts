export type Viewer = {
  body: ReadableStream<Uint8Array>;
  /**
   * Receives a patch. A viewer that has not read enough of the earlier data gets the whole state when there is room.
   */
  push(patch: Uint8Array): void;
  ping(): void;
  close(farewell: string): void;
};

const BUFFER_BYTES = 64 * 1024;
const RETRY_MS = 1000;

const encoder = new TextEncoder();
const PING = encoder.encode(": still here\n\n");

/*
 * The stream of one viewer. It holds at most a buffer and one state.
 *
 *   behind  it has missed a patch, and gets the whole state as soon as there is one and room for it. It begins in this state.
 *   live    it has the state, and gets every patch.
 *   closed  by the viewer, the end of its key, or a shutdown.
 */
export function createViewer(options: {
  /** The current state, if known. */
  wholeFrame: () => Uint8Array | undefined;
  onClose: () => void;
}): Viewer {
  let state: "behind" | "live" | "closed" = "behind";
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        given.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
      },
      pull: catchUp,
      cancel: leave,
    },
    { highWaterMark: BUFFER_BYTES, size: (chunk) => chunk?.byteLength ?? 0 },
  );

  function catchUp(): void {
    if (state !== "behind" || !hasRoom()) return;
    const whole = options.wholeFrame();
    if (!whole) return;
    state = "live";
    controller?.enqueue(whole);
  }

  function hasRoom(): boolean {
    return (controller?.desiredSize ?? 0) > 0;
  }

  function leave(): void {
    if (state === "closed") return;
    state = "closed";
    options.onClose();
  }

  return {
    body,
    push(patch) {
      if (state === "behind") return catchUp();
      if (state === "closed") return;
      if (hasRoom()) controller?.enqueue(patch);
      else state = "behind";
    },
    ping() {
      if (state !== "closed" && hasRoom()) controller?.enqueue(PING);
    },
    close(farewell) {
      if (state === "closed") return;
      controller?.enqueue(encoder.encode(farewell));
      leave();
      controller?.close();
    },
  };
}
