import { closeSync, openSync, readSync, statSync } from "node:fs";

type Variables = Record<string, string | undefined>;

/** The largest secret file; no list of keys needs more. */
const MOST_BYTES = 65_536;

/**
 * Reads secrets from the files that `X_FILE` names instead of the variables `X` of `names`, as container platforms
 * provide them. The returned `env` has them as `X`, trimmed, and no `X_FILE`. Each problem is a sentence that reveals
 * nothing of a file's content.
 */
export function readSecretFiles(
  env: Variables,
  names: readonly string[],
): { env: Variables; problems: string[] } {
  const read: Variables = { ...env };
  const problems: string[] = [];
  for (const name of new Set(names)) {
    const variable = `${name}_FILE`;
    const path = env[variable]?.trim();
    delete read[variable];
    if (!path) continue;
    if (env[name]?.trim()) {
      problems.push(`${name}: is set, and so is ${variable}; keep one of them`);
      continue;
    }
    const found = readSecret(path);
    if ("problem" in found)
      problems.push(`${name}: ${variable} names ${path}, which ${found.problem}`);
    else read[name] = found.secret;
  }
  return { env: read, problems };
}

function readSecret(path: string): { secret: string } | { problem: string } {
  try {
    if (!statSync(path).isFile()) return { problem: "is not a file" };
    const bytes = readStart(path);
    if (bytes.length > MOST_BYTES) return { problem: `is larger than ${MOST_BYTES} bytes` };
    const secret = bytes.toString("utf8").trim();
    return secret === "" ? { problem: "is empty" } : { secret };
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { problem: `cannot be read (${why})` };
  }
}

/** Reads at most one byte more than a secret may have. */
function readStart(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(MOST_BYTES + 1);
    let length = 0;
    for (;;) {
      const count = readSync(file, buffer, length, buffer.length - length, null);
      length += count;
      if (count === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}
