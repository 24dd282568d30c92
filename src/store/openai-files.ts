import type { InValue } from "@libsql/client";
import { asc, desc } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Batch, batches } from "../db/schema/batches.ts";
import type { Statement } from "../db/unit.ts";
import { toSql } from "./which.ts";

/*
 * Files as OpenAI's dialect lists them: uploads, and the results of its batches, which are generated when they are
 * read. Both lists are sorted by time; the caller merges them.
 */

/**
 * The position of a file in the list: its time, whether it is a result, and the row number of the upload or the
 * batch.
 */
export type FilePlace = { at: number; isResult: boolean; seq: number };

export type FileQuery = { after: FilePlace | null; order: "asc" | "desc"; limit: number };

/** Uploads through the other API have no purpose, so it is derived from their names. */
const PURPOSE = `coalesce(purpose, iif(name LIKE '%.jsonl', 'batch', 'user_data'))`;

export type UploadRow = {
  seq: number;
  id: string;
  name: string;
  bytes: number;
  purpose: string;
  at: number;
  expiresAt: number | null;
};

/** Those that have not expired at `now`. */
export function listUploads(
  query: FileQuery,
  { purpose, now }: { purpose: string | undefined; now: number },
): Statement<UploadRow> {
  const beyond = after(query, { time: "created_at", isResult: false });
  const which = purpose === undefined ? "" : ` AND ${PURPOSE} = ?`;
  return {
    sql: `SELECT seq, id, name, bytes, ${PURPOSE} AS purpose, created_at AS at, expires_at AS expiresAt
          FROM files WHERE ${beyond.where} AND (expires_at IS NULL OR expires_at > ?)${which}
          ORDER BY created_at ${query.order}, seq ${query.order} LIMIT ?`,
    args: [...beyond.args, now, ...(purpose === undefined ? [] : [purpose]), query.limit],
  };
}

/** Batches that have ended and have files of results. */
export function listEnded(db: Db, query: FileQuery): Promise<Batch[]> {
  const { where, args } = after(query, { time: "completed_at", isResult: true });
  const inOrder = query.order === "asc" ? asc : desc;
  return db
    .select()
    .from(batches)
    .where(
      toSql({
        where: `open_ai IS NOT NULL AND completed_at IS NOT NULL AND total > 0 AND ${where}`,
        args,
      }),
    )
    .orderBy(inOrder(batches.completedAt), inOrder(batches.seq))
    .limit(query.limit);
}

/**
 * Of files with the same time, uploads come before results. The batch of the last result is read again, because it
 * has two files.
 */
function after(
  { after: place, order }: FileQuery,
  { time, isResult }: { time: string; isResult: boolean },
): { where: string; args: InValue[] } {
  if (!place) return { where: "TRUE", args: [] };
  const beyond = order === "asc" ? ">" : "<";
  if (place.isResult === isResult)
    return {
      where: `(${time}, seq) ${beyond}${isResult ? "=" : ""} (?, ?)`,
      args: [place.at, place.seq],
    };
  const isBehind = order === "asc" ? isResult : !isResult;
  return { where: `${time} ${beyond}${isBehind ? "=" : ""} ?`, args: [place.at] };
}

/** Stores the size of a result file, if its batch has not changed since it was counted. It holds until the next change. */
export function noteSize(
  { seq, run, updatedAt }: { seq: number; run: number; updatedAt: number },
  part: string,
  bytes: number,
): Statement {
  return {
    sql: `UPDATE batches SET open_ai = json_set(json_insert(open_ai, '$.sizes', json('{}')),
              '$.sizes.' || ?, json_object('run', run, 'updatedAt', updated_at, 'bytes', ?))
          WHERE seq = ? AND run = ? AND updated_at = ? AND completed_at IS NOT NULL AND open_ai IS NOT NULL`,
    args: [part, bytes, seq, run, updatedAt],
  };
}

/** Records that a result file was deleted. */
export function noteGone(seq: number, part: string): Statement<{ seq: number }> {
  return {
    sql: `UPDATE batches SET open_ai = json_insert(json_insert(open_ai, '$.gone', json('[]')), '$.gone[#]', ?)
          WHERE seq = ? AND open_ai IS NOT NULL AND completed_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM json_each(open_ai, '$.gone') WHERE value = ?) RETURNING seq`,
    args: [part, seq, part],
  };
}
