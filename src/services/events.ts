import type { Context } from "../context.ts";
import { isFinal } from "../domain/task.ts";
import { nextRound } from "../lib/clock.ts";
import { findIdBefore, findLogBounds, readEvents } from "../store/events.ts";
import { getBatch } from "./batches.ts";
import { readGap } from "./event-gap.ts";
import type { EventHub, StreamReader } from "./event-hub.ts";
import { isWanted, type StreamFilter } from "./event-stream.ts";
import { getTask } from "./tasks.ts";

/** The id after which a stream begins; `now`: with the next event. */
export type Start = number | "now" | undefined;
type Body = ReadableStream<Uint8Array>;

/** A stream of matching events, by default from now on. */
export function watchEvents(
  hub: EventHub,
  filter: Omit<StreamFilter, "subject">,
  start: Start,
  reader: StreamReader,
): Promise<Body> {
  return hub.open(filter, start === "now" ? undefined : start, reader);
}

/**
 * A stream of the events of a task, with the pieces of its answer, or of a batch, until it has ended; by default from
 * its beginning. `undefined` if it has ended and everything has been sent.
 */
export async function watchSubject(
  ctx: Context,
  hub: EventHub,
  { kind, id, types }: { kind: "task" | "batch"; id: string; types: StreamFilter["types"] },
  start: Start,
  reader: StreamReader,
): Promise<Body | undefined> {
  // Read first, so that the stream has the subject's end if it ends before the stream is open.
  const from = start === "now" ? (await findLogBounds(ctx.client)).last : start;
  const { seq, createdAt, isOver } = await findSubject(ctx, kind, id);
  if (isOver && start === "now") return undefined;
  const filter: StreamFilter = { [kind]: id, types, subject: { kind, seq } };
  const after = from ?? (await findIdBefore(ctx.reads.client, createdAt));
  if (isOver && !(await isAnythingLeft(ctx, filter, after))) return undefined;
  return hub.open(filter, after, reader, isOver);
}

async function findSubject(ctx: Context, kind: "task" | "batch", id: string) {
  if (kind === "batch") {
    const { seq, createdAt, status } = await getBatch(ctx, id);
    const isOver = status === "completed" || status === "failed" || status === "cancelled";
    return { seq, createdAt, isOver };
  }
  const { task } = await getTask(ctx, id);
  return { seq: task.seq, createdAt: task.createdAt, isOver: isFinal(task.status) };
}

/** Whether the stream would send anything after the event `after`. */
async function isAnythingLeft(ctx: Context, filter: StreamFilter, after: number): Promise<boolean> {
  const { first, last } = await findLogBounds(ctx.reads.client);
  if (await readGap(ctx.reads, after)) return true;
  for (let at = Math.max(after, first - 1); at < last;) {
    const page = await readEvents(ctx.reads.client, at, last, 200, filter);
    if (page.events.some((event) => isWanted(filter, event))) return true;
    at = page.upTo;
    await nextRound(ctx.clock);
  }
  return false;
}
