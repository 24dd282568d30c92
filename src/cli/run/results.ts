import { accessSync, constants, existsSync } from "node:fs";
import { basename, dirname, extname, resolve } from "node:path";

import type { Clock } from "../../lib/clock.ts";
import { systemFiles } from "../../lib/file-system.ts";
import { randomBase32 } from "../../lib/ids.ts";
import { createSystemRandom } from "../../lib/random.ts";
import {
  explainWriting,
  removeLeftovers,
  removeTemporary,
  writeTemporary,
  writeWhole,
} from "../../lib/write-whole.ts";
import type { Query } from "../client.ts";
import type { Connection } from "../connect.ts";
import { CliError, EXIT, usageError } from "../failure.ts";
import { shellLine } from "../format.ts";
import type { Terminal } from "../terminal.ts";

/** Where results are written: a file, or with `path` null standard output. */
export type Out = { path: string | null; name: string; format: string; isForced: boolean };

const FORMATS: Record<string, string> = {
  ".csv": "csv",
  ".xlsx": "xlsx",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "json",
};

/** The output for a name. Throws if its extension names no format. */
export function outOf(name: string, isForced: boolean, ofStandardOutput = "csv"): Out {
  if (name === "-")
    return { path: null, name: "the standard output", format: ofStandardOutput, isForced };
  const format = FORMATS[extname(name).toLowerCase()];
  if (format === undefined)
    throw usageError(`--out ${name}: its ending must be one of ${Object.keys(FORMATS).join(", ")}`);
  return { path: resolve(name), name, format, isForced };
}

/** Checks, before anything is paid for, that the results can be written and replace nothing. */
export function requireRoom({ path, name, isForced }: Out): void {
  if (path === null) return;
  if (!isForced && existsSync(path)) throw existsAlready(name);
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const why = isMissing ? "there is no such folder" : explainWriting(error);
    throw usageError(`${name} cannot be written: ${why}`);
  }
}

function existsAlready(name: string): CliError {
  return usageError(`${name} exists; name another file with --out, or replace it with --force`);
}

/** Writes the current results of a batch; a file appears completely or not at all. */
export async function writeResults(
  connection: Connection,
  { terminal, clock, signal }: { terminal: Terminal; clock: Clock; signal?: AbortSignal },
  id: string,
  { out, query = {} }: { out: Out; query?: Query },
): Promise<void> {
  const response = await connection.api.open(`/batches/${encodeURIComponent(id)}/results`, {
    query: { format: out.format, ...query },
    ...(signal ? { signal } : {}),
  });
  const pieces = whole((response.body ?? new Blob([]).stream()) as AsyncIterable<Uint8Array>);
  if (out.path === null) {
    for await (const piece of pieces) await terminal.out(piece);
    return;
  }
  requireRoom(out);
  const again = shellLine(["batch", "results", id, "--out", out.name, ...connection.flags]);
  try {
    await writeFile(out, out.path, pieces, clock);
  } catch (error) {
    if (signal?.aborted || error instanceof CliError) throw error;
    throw new CliError(
      EXIT.failed,
      `${out.name} could not be written: ${explainWriting(error)}. No answer is lost: ${again} writes them once that is mended`,
    );
  }
}

/** Distinguishes an answer that breaks off from an error of the disk. */
async function* whole(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.unavailable, `The results broke off: ${why}. Try again`);
  }
}

/** The age at which temporary files of killed processes are removed. */
const LEFTOVER_MS = 3_600_000;

async function writeFile(
  out: Out,
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  clock: Pick<Clock, "now">,
): Promise<void> {
  const world = { files: systemFiles, unfinished: new Set<string>() };
  const before = clock.now() - LEFTOVER_MS;
  const [folder, name] = [dirname(path), basename(path)];
  await removeLeftovers(world, folder, { owner: undefined, before, name });
  const by = { owner: "gptrunner", mark: randomBase32(createSystemRandom(), 16) };
  if (out.isForced) return writeWhole(world, path, by, pieces);
  const temporary = await writeTemporary(world, path, by, pieces, true);
  try {
    if (!(await publishNew(temporary, path))) throw existsAlready(out.name);
  } finally {
    await removeTemporary(world, temporary);
  }
}

/** Gives a file its name, unless another command has taken it meanwhile. Returns whether it did. */
async function publishNew(temporary: string, path: string): Promise<boolean> {
  try {
    return await systemFiles.link(temporary, path);
  } catch {
    // Some file systems have no links.
    if (existsSync(path)) return false;
    await systemFiles.rename(temporary, path);
    return true;
  }
}
