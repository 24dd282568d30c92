import { getLogger } from "@logtape/logtape";

import type { Context, Delta } from "../context.ts";
import { DELTA, type LoggedEvent } from "../domain/event.ts";
import { AppError } from "../errors.ts";
import { background } from "../lib/background.ts";
import { type Cancel, nextRound } from "../lib/clock.ts";
import { logError } from "../lib/logged-error.ts";
import { createLoop } from "../lib/loop.ts";
import { findLogBounds, readEvents, thoseThere } from "../store/events.ts";
import { readRows } from "../store/rows.ts";
import { type Gap, readGap, toGapFrame } from "./event-gap.ts";
import { createGroups, type Group } from "./event-groups.ts";
import { createStream, endsSubject, isWanted, type StreamFilter, toFrame } from "./event-stream.ts";

/** The reader of a stream. */
export type StreamReader = {
  /** Ends the stream when it aborts. */
  signal: AbortSignal;
  /** Is called when the stream has ended. */
  release(): void;
};

export type EventHub = {
  /**
   * A stream of matching events after the id `after`, or, without it, from now on. `isOver`: its subject has ended, so
   * it ends with the last of them.
   */
  open(
    filter: StreamFilter,
    after: number | undefined,
    reader: StreamReader,
    isOver?: boolean,
  ): Promise<ReadableStream<Uint8Array>>;
  start(): void;
  /** Ends all streams after the events that are in the log by now, with a hint to reconnect. */
  stop(): Promise<void>;
  /** How many streams are open. */
  size(): number;
  /** The tasks whose streamed answers have readers here. */
  streamedTasks(): Iterable<number>;
};

const PAGE = 200;
/** Backstop for lost hints. */
const POLL_MS = 1000;
const RETRY_MS = 200;
/** The documentation promises a comment every ten seconds. */
const PING_MS = 9000;
const COMPLAINT = "The event log could not be read";
const DELETED = ": it was deleted\n\n";
const FAREWELL = "retry: 1000\n\n: the server stops; come back\n\n";

/**
 * Events within this time are sent together, because each chunk costs a stream some microseconds, whatever its size.
 * A single event does not wait.
 */
const pauseMs = (streams: number) => Math.min(80, 5 + streams / 25);

const encoder = new TextEncoder();

/*
 * One reader of the log for all streams of this process.
 *
 *   asleep   there is no stream, and nothing is read. Left when one is opened, at the end of the log.
 *   waiting  nothing new is known. Left by a hint that there are rows or pieces of answers, or by
 *            the poll; not sooner than `pauseMs` after the last read.
 *   reading  page by page; each event goes to the groups of streams that it concerns. Hints that come
 *            meanwhile lead to another read.
 *   stopped  after a last read all streams are ended.
 */
export function createEventHub(ctx: Context, { pingMs = PING_MS } = {}): EventHub {
  const log = getLogger(["gptrunner", "events"]);
  const { client, clock, signals } = ctx;
  const groups = createGroups();
  const streamed = new Set<Group>();
  let streams = 0;
  let position = 0;
  let waking: Promise<void> | undefined;
  let isStopped = false;
  let cancelPings: Cancel | undefined;
  const unsubscribe: (() => void)[] = [];
  const loop = createLoop({
    log,
    complaint: COMPLAINT,
    clock,
    work: read,
    pauseMs: () => pauseMs(streams),
    backstopMs: POLL_MS,
    retryMs: RETRY_MS,
    maxRetryMs: POLL_MS,
  });

  /** Uses a timer, so that events that are published in this round of the event loop are read, too. */
  function nudge(): void {
    loop.nudge(0);
  }

  async function read(): Promise<void> {
    for (let isMore = true; isMore;) {
      const { events } = await readEvents(client, position, Number.MAX_SAFE_INTEGER, PAGE);
      handOut(events);
      isMore = events.length === PAGE && streams > 0;
      if (isMore) await nextRound(clock);
    }
  }

  /**
   * Sends the events after the position, which only moves forward: a page that was requested before the hub slept and
   * woke may begin before it.
   */
  function handOut(page: LoggedEvent[]): void {
    const events = page.filter(({ id }) => id > position);
    const touched = new Set<Group>();
    for (const event of events) {
      let frame: string | undefined;
      for (const group of groups.concernedBy(event)) {
        const isOver = endsSubject(group.filter, event);
        if (isOver) writeDelta(group);
        if (isWanted(group.filter, event)) group.text += frame ??= toFrame(event);
        group.isOver = isOver ?? group.isOver;
        touched.add(group);
      }
    }
    for (const group of streamed) touched.add(writeDelta(group));
    const from = position;
    position = events.at(-1)?.id ?? position;
    for (const group of touched) send(group, from);
  }

  function send(group: Group, from: number): void {
    const { text, isOver } = group;
    group.text = "";
    group.isOver = false;
    if (text === "" && !isOver) return;
    const chunk = encoder.encode(text);
    for (const stream of group.streams) stream.push(chunk, from, isOver);
  }

  /** Joins pieces of one answer that come between two reads of the log. */
  function collect(deltas: Delta[]): void {
    if (streams === 0) return;
    for (const { task, text, offset } of deltas)
      for (const group of groups.streaming(task)) {
        if (group.delta && group.delta.offset + group.delta.text.length === offset)
          group.delta.text += text;
        else {
          writeDelta(group);
          group.delta = { offset, text };
          streamed.add(group);
        }
        nudge();
      }
  }

  function writeDelta(group: Group): Group {
    const { delta, filter } = group;
    if (delta && (filter.types?.has(DELTA) ?? true)) {
      const timestamp = new Date(ctx.clock.now()).toISOString();
      const body = { type: DELTA, timestamp, data: { taskId: filter.task, ...delta } };
      group.text += `event: ${DELTA}\ndata: ${JSON.stringify(body)}\n\n`;
    }
    group.delta = undefined;
    streamed.delete(group);
    return group;
  }

  async function wake(): Promise<void> {
    const { last } = await findLogBounds(client);
    position = Math.max(position, last);
    if (isStopped) return;
    loop.start();
    cancelPings = clock.setInterval(pingAll, pingMs);
  }

  function sleep(): void {
    waking = undefined;
    cancelPings?.();
    background(log, "The end of reading the event log", loop.stop());
  }

  function pingAll(): void {
    for (const group of groups.values()) for (const stream of group.streams) stream.ping();
    endDeleted();
  }

  /** Ends the streams of deleted tasks and batches, which will have no more events. */
  function endDeleted(): void {
    background(log, "The search for streams of deleted tasks and batches", closeDeleted());
  }

  async function closeDeleted(): Promise<void> {
    const about = [...groups.values()].filter(({ filter }) => filter.subject);
    for (const kind of ["task", "batch"] as const) {
      const mine = about.filter(({ filter }) => filter.subject?.kind === kind);
      const seqs = mine.flatMap(({ filter }) => filter.subject?.seq ?? []);
      if (seqs.length === 0) continue;
      const there = new Set((await readRows(client, thoseThere(kind, seqs))).map(({ seq }) => seq));
      for (const { filter, streams } of mine)
        if (!there.has(filter.subject?.seq ?? 0))
          for (const stream of streams) stream.close(DELETED);
    }
  }

  return {
    async open(filter, after, { signal, release }, isOver = false) {
      streams++;
      let oldest: number;
      let gap: Gap | undefined;
      try {
        await (waking ??= wake());
        // Another node has sent the reader events that this one has not read yet.
        if (after !== undefined && after > position) await loop.look();
        const { first, last } = await findLogBounds(client);
        if (after !== undefined && after > position && after <= last) throw notRead();
        oldest = first;
        gap = await readGap(ctx, after);
      } catch (error) {
        if (--streams === 0) sleep();
        throw error;
      }
      const group = groups.join(filter);
      const stream = createStream({
        client,
        clock,
        filter,
        after: gap ? gap.oldest - 1 : Math.min(Math.max(after ?? position, oldest - 1), position),
        position: () => position,
        greeting: gap && toGapFrame(gap, new Date(clock.now()), isOver),
        isOver,
        onClose() {
          group.streams.delete(stream);
          groups.drop(group);
          if (--streams === 0) sleep();
          signal.removeEventListener("abort", end);
          release();
        },
        onError: (error) => logError(log, "{complaint}: {error}", { complaint: COMPLAINT, error }),
      });
      group.streams.add(stream);
      signals.emit("listening", undefined);
      const end = () => stream.close(": the API key is no longer valid\n\n");
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
      if (isStopped) stream.close(FAREWELL);
      return stream.body;
    },
    start() {
      unsubscribe.push(
        signals.on("events", nudge),
        signals.on("elsewhere", nudge),
        signals.on("deltas", collect),
        signals.on("deleted", endDeleted),
      );
    },
    async stop() {
      isStopped = true;
      for (const end of unsubscribe) end();
      await loop.stop();
      await read().catch(() => undefined);
      for (const group of groups.values())
        for (const stream of group.streams) stream.close(FAREWELL);
    },
    size: () => streams,
    streamedTasks: groups.streamedTasks,
  };
}

/** The log could not be read up to the reader's last event, so the reader would get events twice. */
function notRead(): AppError {
  return new AppError("SERVICE_UNAVAILABLE", "The events cannot be read at present; connect again");
}
