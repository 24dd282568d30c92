import type { Statement } from "../db/unit.ts";
import { hasRow, type Which } from "./which.ts";

/*
 * The bytes of an upload lie in the store before there is a row of it, and after. Meanwhile it is loose, which is
 * written down first: whatever kills its process, the bytes are found and removed.
 */

/** An upload of a process begins. */
export function beginUpload(id: string, node: number): Statement {
  return {
    sql: "INSERT INTO loose_files (id, node) VALUES (?, ?) ON CONFLICT DO NOTHING",
    args: [id, node],
  };
}

/** True while the upload is still its process' own: nobody has taken that for dead. */
export function isUploading(id: string, node: number): Which {
  return hasRow("loose_files", { where: "id = ? AND node = ?", args: [id, node] });
}

/** The upload is whole, and has a row from now on. */
export function endUpload(id: string, node: number): Statement {
  return { sql: "DELETE FROM loose_files WHERE id = ? AND node = ?", args: [id, node] };
}

/** The bytes of a file, if there is one, are to be removed. Its row goes in the same commit. */
export function loosen(id: string): Statement {
  return {
    sql: "INSERT INTO loose_files (id, node) SELECT id, NULL FROM files WHERE id = ? ON CONFLICT DO NOTHING",
    args: [id],
  };
}

export type LooseFile = { id: string; node: number | null };

/** What is to be removed, what processes have left that are gone, and what this one uploads or has left itself. */
export function findLoose(node: number): Statement<LooseFile> {
  return {
    sql: `SELECT id, node FROM loose_files
          WHERE node IS NULL OR node = ? OR node NOT IN (SELECT seq FROM nodes) LIMIT 1000`,
    args: [node],
  };
}

/** Takes an upload from its process, unless it was ended meanwhile. */
export function giveUp({ id, node }: LooseFile): Statement {
  return { sql: "UPDATE loose_files SET node = NULL WHERE id = ? AND node IS ?", args: [id, node] };
}

/** The bytes are gone. */
export function forgetLoose(id: string): Statement {
  return { sql: "DELETE FROM loose_files WHERE id = ? AND node IS NULL", args: [id] };
}
