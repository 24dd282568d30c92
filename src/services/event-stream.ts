import type { Context } from "../context.ts";
import {
  type DELTA,
  type EventType,
  isEnd,
  type LoggedEvent,
  toEventBody,
} from "../domain/event.ts";
import { nextRound } from "../lib/clock.ts";
import { readEvents } from "../store/events.ts";

export type StreamType = EventType | typeof DELTA;

/** The filter of a stream: everything, or matching events. */
export type StreamFilter = {
  task?: string | undefined;
  batch?: string | undefined;
  /** `undefined`: all types. */
  types?: ReadonlySet<StreamType> | undefined;
  /** The stream is about this task or batch, and ends with it. */
  subject?: { kind: "task" | "batch"; seq: number } | undefined;
};

export type LiveStream = {
  body: ReadableStream<Uint8Array>;
  /**
   * Receives events that the hub read after `from`. A stream that is behind, or whose client is slow, ignores them
   * and reads the log itself as soon as there is room.
   */
  push(chunk: Uint8Array, from: number, isOver: boolean): void;
  /** Sends a comment, so that proxies and clients keep the connection open. */
  ping(): void;
  close(farewell: string): void;
};

export type StreamOptions = {
  client: Context["client"];
  clock: Context["clock"];
  filter: StreamFilter;
  /** The id after which it begins. */
  after: number;
  /** Sent before all events. */
  greeting: string | undefined;
  /** Its subject has ended, unless later events say otherwise. */
  isOver: boolean;
  /** The id up to which the hub has sent events. */
  position: () => number;
  onClose: () => void;
  onError: (error: unknown) => void;
};

const BUFFER_BYTES = 64 * 1024;
const PAGE = 200;
const RETRY_MS = 2000;
const PING = new TextEncoder().encode(": still here\n\n");

const encoder = new TextEncoder();

/*
 * The stream of one client. Its buffer of unread events is limited to 64 kB.
 *
 *   behind  its events come from the log, page by page, each when the buffer has room for it. It
 *           begins like this, and comes back to it when the buffer is full as live events arrive.
 *   live    it has been sent everything that the hub has read, and gets further events from the hub.
 *   closed  by the client, by the end of its subject, or by a shutdown.
 *
 * It goes from behind to live in one synchronous step, when the page just read ends at the
 * hub's position, so nothing is left out or sent twice.
 */
export function createStream(options: StreamOptions): LiveStream {
  const { client, clock, filter, position } = options;
  let after = options.after;
  let state: "behind" | "live" | "closed" = "behind";
  let { isOver } = options;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        given.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n${options.greeting ?? ""}`));
      },
      async pull() {
        try {
          await catchUp();
        } catch (error) {
          options.onError(error);
          end("");
        }
      },
      cancel: () => leave(),
    },
    { highWaterMark: BUFFER_BYTES, size: (chunk) => chunk?.byteLength ?? 0 },
  );

  async function catchUp(): Promise<void> {
    while (state === "behind" && hasRoom()) {
      if (after >= position()) {
        state = "live";
        if (isOver) end("");
        return;
      }
      const page = await readEvents(client, after, position(), PAGE, filter);
      if (state !== "behind") return;
      for (const event of page.events) isOver = endsSubject(filter, event) ?? isOver;
      const text = page.events.filter((event) => isWanted(filter, event)).map(toFrame);
      if (text.length > 0) controller?.enqueue(encoder.encode(text.join("")));
      after = page.upTo;
      await nextRound(clock);
    }
  }

  function hasRoom(): boolean {
    return (controller?.desiredSize ?? 0) > 0;
  }

  function leave(): void {
    if (state === "closed") return;
    state = "closed";
    options.onClose();
  }

  function end(farewell: string): void {
    if (state === "closed") return;
    if (farewell !== "") controller?.enqueue(encoder.encode(farewell));
    leave();
    controller?.close();
  }

  return {
    body,
    push(chunk, from, isOverNow) {
      if (state !== "live") return;
      if (!hasRoom()) {
        state = "behind";
        after = from;
        return;
      }
      controller?.enqueue(chunk);
      if (isOverNow) end("");
    },
    ping() {
      if (state !== "closed" && hasRoom()) controller?.enqueue(PING);
    },
    close: end,
  };
}

export function toFrame(event: LoggedEvent): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${toEventBody(event)}\n\n`;
}

export function isWanted({ task, batch, types }: StreamFilter, event: LoggedEvent): boolean {
  return (
    (task === undefined || event.task === task) &&
    (batch === undefined || event.batch === batch) &&
    (types === undefined || types.has(event.type))
  );
}

/** Whether this event ends the stream's subject; `undefined` if the event is not about the subject itself. */
export function endsSubject({ subject }: StreamFilter, event: LoggedEvent): boolean | undefined {
  if (!subject || (subject.kind === "batch" && event.task !== null)) return undefined;
  return isEnd(event.type);
}
