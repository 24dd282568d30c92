import { join } from "node:path";

import type { Client } from "@libsql/client";

import type { Config } from "../config.ts";
import { readSchema } from "../db/dump.ts";
import type { Statement } from "../db/unit.ts";
import type { Clock } from "../lib/clock.ts";
import { systemFiles } from "../lib/file-system.ts";
import {
  LEAP,
  type Marker,
  readMarker,
  readTimeline,
  TIMELINE_FILE,
} from "../services/timeline.ts";
import { forgetProcesses, GOES_ON, type GoesOn, pauseEverything } from "../store/restored.ts";
import { readRows } from "../store/rows.ts";
import { beginEpoch } from "../store/timeline.ts";
import type { Manifest } from "./manifest.ts";

export type AfterRestore = {
  /** The changes to the restored database. */
  statements: Statement[];
  /** The work that continues at the next start. */
  goesOn: GoesOn;
};

/** More events than a server can number in a second. */
const MOST_PER_SECOND = 20_000;

/**
 * The changes to a restored database. Numbers of events, tasks and batches continue above all that were given since
 * the backup: as `timeline.json` says, or, if that is lost or unreadable, above the most that there can have been.
 */
export async function afterRestore(
  client: Client,
  manifest: Pick<Manifest, "createdAt">,
  {
    config,
    clock,
    isPaused,
  }: { config: Pick<Config, "dataDir">; clock: Pick<Clock, "now">; isPaused: boolean },
): Promise<AfterRestore> {
  const schema = await readSchema(client);
  const tables = new Set(schema.filter(({ type }) => type === "table").map(({ name }) => name));
  const [goesOn] = await readRows(client, GOES_ON);
  if (!goesOn) throw new Error("a SELECT without FROM has a row");
  const found = await readMarker({ files: systemFiles }, join(config.dataDir, TIMELINE_FILE));
  const marker = found && "epoch" in found ? found : undefined;
  const seconds = Math.max(0, clock.now() - Date.parse(manifest.createdAt)) / 1000;
  const statements = [
    ...(tables.has("timeline") ? await newEpoch(client, marker, Math.ceil(seconds)) : []),
    ...forgetProcesses(tables),
    ...(isPaused ? pauseEverything(clock.now()) : []),
  ];
  return { statements, goesOn };
}

async function newEpoch(
  client: Client,
  marker: Marker | undefined,
  seconds: number,
): Promise<Statement[]> {
  const was = await readTimeline({ client });
  // A marker that is behind the backup belongs to another database.
  const isAhead = marker !== undefined && marker.epoch >= was.epoch && marker.last >= was.last;
  const above = (kept: number, reported: number) =>
    LEAP + (isAhead ? Math.max(kept, reported) : kept + seconds * MOST_PER_SECOND);
  const next = {
    events: above(was.last, marker?.last ?? 0),
    tasks: above(was.lastTask, marker?.lastTask ?? 0),
    batches: above(was.lastBatch, marker?.lastBatch ?? 0),
  };
  const epoch = Math.max(was.epoch, marker?.epoch ?? 0) + 1;
  return beginEpoch({ of: was.epoch, epoch, brokenAfter: was.last }, next);
}
