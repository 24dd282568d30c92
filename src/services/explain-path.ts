import type { PathError } from "../lib/paths.ts";

/** What is wrong with a path of a client, and what to write instead. */
export function explainPath(path: string, error: PathError, use: "read" | "write"): string {
  const problem = `${JSON.stringify(path)} ${error.message}`;
  if (!error.isOutside) return problem;
  const inside = `${problem} (FILES_DIR). Write a path relative to it, such as ${JSON.stringify(lastName(path))}`;
  return use === "write"
    ? inside
    : `${inside}, after the file was put there; or upload it (POST /api/v1/files) and write its id`;
}

/** The name of a file at the end of a path or URL, of Windows, too. */
function lastName(path: string): string {
  return path.split(/[\\/:]/).findLast((part) => part !== "") ?? "tasks.csv";
}
