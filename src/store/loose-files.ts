import type { Statement } from "../db/unit.ts";
import { hasRow, type Which } from "./which.ts";

/*
 * The bytes of an upload exist in the store before its row is added, and after it is removed. In between the file is
 * loose, which is recorded first, so the bytes are found and removed even if the process is killed.
 */

/** Records that a process begins an upload. */
export function beginUpload(id: string, node: number): Statement {
  return {
    sql: "INSERT INTO loose_files (id, node) VALUES (?, ?) ON CONFLICT DO NOTHING",
    args: [id, node],
  };
}

/** True while the upload still belongs to its process, which no other node has declared dead. */
export function isUploading(id: string, node: number): Which {
  return hasRow("loose_files", { where: "id = ? AND node = ?", args: [id, node] });
}

/** Records that the upload is complete and has a row. */
export function endUpload(id: string, node: number): Statement {
  return { sql: "DELETE FROM loose_files WHERE id = ? AND node = ?", args: [id, node] };
}

/**
 * Records that the bytes of a file, if there is one and `when` holds for its row, are to be removed. The row is deleted
 * in the same commit, under the same condition.
 */
export function loosen(id: string, when: Which): Statement {
  return {
    sql: `INSERT INTO loose_files (id, node) SELECT id, NULL FROM files WHERE id = ? AND ${when.where} ON CONFLICT DO NOTHING`,
    args: [id, ...when.args],
  };
}

export type LooseFile = { id: string; node: number | null };

/** Files to be removed, files that dead processes have left, and the uploads of this process. */
export function findLoose(node: number): Statement<LooseFile> {
  return {
    sql: `SELECT id, node FROM loose_files
          WHERE node IS NULL OR node = ? OR node NOT IN (SELECT seq FROM nodes) LIMIT 1000`,
    args: [node],
  };
}

/** Takes an upload away from its process, unless it was completed meanwhile. */
export function giveUp({ id, node }: LooseFile): Statement {
  return { sql: "UPDATE loose_files SET node = NULL WHERE id = ? AND node IS ?", args: [id, node] };
}

/** Records that the bytes were removed. */
export function forgetLoose(id: string): Statement {
  return { sql: "DELETE FROM loose_files WHERE id = ? AND node IS NULL", args: [id] };
}
