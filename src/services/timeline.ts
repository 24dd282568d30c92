import { join } from "node:path";

import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { writeWhole } from "../lib/write-whole.ts";
import { readRows } from "../store/rows.ts";
import { beginEpoch, type Timeline, TIMELINE } from "../store/timeline.ts";
import { writtenBy } from "./written-by.ts";

/**
 * The marker file beside the database. It must not be restored together with the database, because it would then
 * prove nothing.
 */
export const TIMELINE_FILE = "timeline.json";
const MOST_BYTES = 1000;
/** More than can be numbered between two checks, so that numbers of the lost part are not given again. */
export const LEAP = 1_000_000;

export type Marker = Pick<Timeline, "epoch" | "last" | "lastTask" | "lastBatch">;

/**
 * Detects that the database was restored: it is behind the marker that this process wrote at its last check. Then a
 * new epoch begins, and events, tasks and batches are numbered above all numbers that were ever given. So readers of
 * streams and receivers of webhooks, which remember numbers, never see one with another meaning.
 */
export async function keepTimeline(ctx: Context): Promise<void> {
  const path = join(ctx.config.dataDir, TIMELINE_FILE);
  const marker = reportedBy(path, await readMarker(ctx, path));
  let now = await readTimeline(ctx);
  if (marker && isBehind(now, marker)) {
    const epoch = Math.max(now.epoch, marker.epoch) + 1;
    const next = {
      events: Math.max(now.last, marker.last) + LEAP,
      tasks: Math.max(now.lastTask, marker.lastTask) + LEAP,
      batches: Math.max(now.lastBatch, marker.lastBatch) + LEAP,
    };
    const began = beginEpoch({ of: now.epoch, epoch, brokenAfter: now.last }, next);
    await ctx.writer.write({ began });
    getLogger(["gptrunner", "timeline"]).warning(
      "The database was restored: it ends with event {last}, there was an event {was}. Numbers continue above {next}",
      { last: now.last, was: marker.last, next: next.events },
    );
    now = await readTimeline(ctx);
  }
  const { epoch, last, lastTask, lastBatch } = now;
  if (marker?.epoch === epoch && marker.last === last) return;
  const text = JSON.stringify({ epoch, last, lastTask, lastBatch });
  await ctx.files.makeFolder(ctx.config.dataDir);
  await writeWhole(ctx, path, writtenBy(ctx, "timeline"), pieces(text));
}

/**
 * Returns the marker. An unreadable file is reported and written again; whether the database was restored before is
 * then unknown.
 */
function reportedBy(path: string, found: Marker | { why: string } | undefined): Marker | undefined {
  if (!found || "epoch" in found) return found;
  getLogger(["gptrunner", "timeline"]).warning(
    "{path} cannot be read, so that it is not known whether the database was restored since it was written. It is written again: {why}",
    { path, why: found.why },
  );
  return undefined;
}

/** Between which events the database was last restored. */
export async function readTimeline({
  client,
}: {
  client: Pick<Context["client"], "execute">;
}): Promise<Timeline> {
  const [row] = await readRows(client, TIMELINE);
  if (!row) throw new Error("a SELECT without FROM has a row");
  return row;
}

function isBehind(now: Timeline, marker: Marker): boolean {
  return now.epoch === marker.epoch ? now.last < marker.last : now.epoch < marker.epoch;
}

/** The content of the marker file, or why it cannot be read; `undefined` if there is none. */
export async function readMarker(
  { files }: Pick<Context, "files">,
  path: string,
): Promise<Marker | { why: string } | undefined> {
  let text: string;
  try {
    text = (await files.readStart(path, MOST_BYTES)).toString();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    return { why: error instanceof Error ? error.message : String(error) };
  }
  return toMarker(parseJson(text)) ?? { why: "it is not what this program writes" };
}

function toMarker(found: unknown): Marker | undefined {
  if (!isJsonObject(found)) return undefined;
  const { epoch, last, lastTask, lastBatch } = found;
  const isWhole = [epoch, last, lastTask, lastBatch].every(Number.isSafeInteger);
  return isWhole
    ? {
        epoch: Number(epoch),
        last: Number(last),
        lastTask: Number(lastTask),
        lastBatch: Number(lastBatch),
      }
    : undefined;
}

async function* pieces(text: string): AsyncGenerator<string> {
  yield text;
}
