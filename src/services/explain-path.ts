import type { PathError } from "../lib/paths.ts";

const SAMPLE_ID = "file-01k9z3v7q2m0c8x4t5r6w7y8z9";

/** Explains what is wrong with a client's path, and what to write instead. */
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

/** The file name at the end of a path or URL, also of a Windows path. */
function lastName(path: string): string {
  return path.split(/[\\/:]/).findLast((part) => part !== "") ?? "tasks.csv";
}
