import type { PathError } from "../lib/paths.ts";

const SAMPLE_ID = "file-01k9z3v7q2m0c8x4t5r6w7y8z9";

/** What is wrong with a path of a client, and what to write instead. */
export function explainPath(path: string, error: PathError, use: "read" | "write"): string {
  const problem = `${JSON.stringify(path)} ${error.message}`;
  if (error.target === "reserved" && use === "read")
    return `${problem}; write the id of the upload, such as ${JSON.stringify(SAMPLE_ID)} (GET /api/v1/files)`;
  if (error.target !== "outside") return problem;
  const inside = `${problem} (FILES_DIR). Write a path relative to it, such as ${JSON.stringify(lastName(path))}`;
  return use === "write"
    ? inside
    : `${inside}, after the file was put there; or upload it (POST /api/v1/files) and write its id`;
}

/** The name of a file at the end of a path or URL, of Windows, too. */
function lastName(path: string): string {
  return path.split(/[\\/:]/).findLast((part) => part !== "") ?? "tasks.csv";
}
