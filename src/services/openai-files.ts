import type { Context } from "../context.ts";
import { RESULT_PARTS, type ResultPart } from "../domain/openai-batch.ts";
import type { AppError } from "../errors.ts";
import { timeOfId } from "../lib/ids.ts";
import type { StoredFile } from "../store/files.ts";
import { findFile } from "../store/files.ts";
import {
  type FilePlace,
  type FileQuery,
  listEnded,
  listUploads,
  noteGone,
} from "../store/openai-files.ts";
import { readRows } from "../store/rows.ts";
import { deleteFile } from "./files.ts";
import { badParam, refusal } from "./openai-refusal.ts";
import {
  expiryOf,
  findNamedResult,
  findResultFile,
  knownSize,
  type ResultFile,
  resultFileId,
  resultParts,
  sizeOfResultFile,
} from "./openai-results.ts";

/** A file as OpenAI's API describes it; times are Unix milliseconds here. */
export type OpenAiFile = {
  id: string;
  name: string;
  bytes: number;
  purpose: string;
  createdAt: number;
  expiresAt: number | null;
};

/** The purpose of the result files of batches. */
export const RESULT_PURPOSE = "batch_output";

/** A file of either kind, by its id. Throws `FILE_NOT_FOUND` in OpenAI's words. */
export async function requireOpenAiFile(
  ctx: Context,
  id: string,
): Promise<{ upload: StoredFile } | { result: ResultFile }> {
  const result = await findResultFile(ctx, id);
  if (result) return { result };
  const upload = await findFile(ctx.db, id, ctx.clock.now());
  if (upload) return { upload };
  throw noSuchFile(id);
}

export function noSuchFile(id: string, param = "id"): AppError {
  return refusal("FILE_NOT_FOUND", `No such File object: ${id.slice(0, 200)}`, { param });
}

export async function describeFile(ctx: Context, id: string): Promise<OpenAiFile> {
  const file = await requireOpenAiFile(ctx, id);
  return "result" in file ? describeResult(ctx, file.result) : describeUpload(file.upload);
}

export function describeUpload(file: StoredFile): OpenAiFile {
  const { id, name, bytes, createdAt, expiresAt } = file;
  return { id, name, bytes, purpose: purposeOf(file), createdAt, expiresAt };
}

/** The purpose of an upload; derived from its name if none was given. */
export function purposeOf({ purpose, name }: Pick<StoredFile, "purpose" | "name">): string {
  return purpose ?? (name.toLowerCase().endsWith(".jsonl") ? "batch" : "user_data");
}

async function describeResult(ctx: Context, file: ResultFile): Promise<OpenAiFile> {
  const { batch, part } = file;
  return {
    id: resultFileId(batch, part),
    name: `${batch.id}_${part === "output" ? "output" : "error"}.jsonl`,
    bytes: await sizeOfResultFile(ctx, file),
    purpose: RESULT_PURPOSE,
    createdAt: batch.completedAt ?? batch.startedAt ?? batch.createdAt,
    expiresAt: expiryOf(batch),
  };
}

/** Deletes a file. The results stay with the batch. */
export async function deleteOpenAiFile(ctx: Context, id: string): Promise<void> {
  const file = await requireOpenAiFile(ctx, id);
  if ("upload" in file) return deleteFile(ctx, id);
  const { batch, part } = file.result;
  const { gone } = await ctx.writer.write({ gone: noteGone(batch.seq, part) });
  if (gone.rows.length === 0)
    throw badParam(
      "id",
      `File ${id} is made of the results of batch ${batch.id}, which has not ended or was made with another API; delete the batch instead`,
    );
}

/** How many result files of unknown size are counted for one page. */
const MOST_COUNTED = 50;

export type OpenAiFilePage = { files: OpenAiFile[]; hasMore: boolean };

/** One page of the files, the newest first or last. `after` is the id of the last file of the previous page. */
export async function listOpenAiFiles(
  ctx: Context,
  {
    after,
    order,
    limit,
    purpose,
  }: { after: string | undefined; purpose: string | undefined } & Pick<
    FileQuery,
    "order" | "limit"
  >,
): Promise<OpenAiFilePage> {
  const place = after === undefined ? null : await placeOf(ctx, after, order);
  const query = { after: place, order, limit: limit + 2 };
  const entries: Entry[] = [];
  if (purpose !== RESULT_PURPOSE) entries.push(...(await uploads(ctx, query, purpose)));
  if (purpose === undefined || purpose === RESULT_PURPOSE)
    entries.push(...(await results(ctx, query)));
  const sign = order === "asc" ? 1 : -1;
  entries.sort((a, b) => sign * compare(a, b));
  const first = entries.findIndex((entry) => !place || sign * compare(entry, place) > 0);
  const start = first < 0 ? entries.length : first;
  const page: OpenAiFile[] = [];
  let counted = 0;
  for (const entry of entries.slice(start, start + limit)) {
    if (entry.isCounting && ++counted > MOST_COUNTED) break;
    page.push(await entry.describe());
  }
  return { files: page, hasMore: limit > 0 && entries.length > start + page.length };
}

/** `part`: 0 and 1 for the output and the errors of one batch. */
type Place = FilePlace & { part: number };

type Entry = Place & {
  id: string;
  isCounting: boolean;
  describe: () => Promise<OpenAiFile> | OpenAiFile;
};

function compare(a: Place, b: Place): number {
  return a.at - b.at || Number(a.isResult) - Number(b.isResult) || a.seq - b.seq || a.part - b.part;
}

async function uploads(ctx: Context, query: FileQuery, purpose?: string): Promise<Entry[]> {
  const rows = await readRows(
    ctx.reads.client,
    listUploads(query, { purpose, now: ctx.clock.now() }),
  );
  return rows.map(({ seq, at, ...row }) => ({
    id: row.id,
    at,
    isResult: false,
    seq,
    part: 0,
    isCounting: false,
    describe: () => ({ ...row, createdAt: at }),
  }));
}

async function results(ctx: Context, query: FileQuery): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const batch of await listEnded(ctx.reads.db, query))
    for (const part of resultParts(batch, ctx.clock.now()))
      entries.push({
        id: resultFileId(batch, part),
        at: batch.completedAt ?? 0,
        isResult: true,
        seq: batch.seq,
        part: numberOf(part),
        isCounting: knownSize({ batch, part }) === undefined,
        describe: () => describeResult(ctx, { batch, part }),
      });
  return entries;
}

/**
 * The place of a file in the list. A file that was deleted or has expired since the previous page still has one, because
 * clients delete files while they list them. That of an upload is known to the millisecond, so others of that
 * millisecond may be listed twice.
 */
async function placeOf(ctx: Context, id: string, order: "asc" | "desc"): Promise<Place> {
  const { batch, part } = (await findNamedResult(ctx, id)) ?? {};
  if (batch && part && batch.openAi && batch.completedAt !== null)
    return { at: batch.completedAt, isResult: true, seq: batch.seq, part: numberOf(part) };
  const upload = await findFile(ctx.db, id, 0);
  if (upload) return { at: upload.createdAt, isResult: false, seq: upload.seq, part: 0 };
  const madeAt = timeOfId(id, "file");
  if (madeAt === undefined) throw noSuchFile(id, "after");
  // Its row may be a millisecond older than its id.
  return order === "asc"
    ? { at: madeAt - 1, isResult: false, seq: 0, part: 0 }
    : { at: madeAt, isResult: false, seq: Number.MAX_SAFE_INTEGER, part: 0 };
}

function numberOf(part: ResultPart): number {
  return RESULT_PARTS.indexOf(part);
}
