import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, open, rename, stat } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, extname, join, resolve } from "node:path";
import process from "node:process";

import { FILE_MODE, systemFiles } from "../../lib/file-system.ts";
import { sha256Hex } from "../../lib/hash.ts";
import { usageError } from "../failure.ts";

/** The input: a file, or the data from standard input. */
export type Input = {
  /** The name for messages. */
  name: string;
  path: string;
  /** The hash of the bytes. */
  sha256: string;
  /** Identifies the file even if its content changes; `null` for standard input. */
  source: string | null;
  /** Removes the temporary copy of standard input. */
  remove(): void;
};

const CHUNK_BYTES = 1 << 20;

/** Reads FILE, or standard input for `-`, once, to find out whether it is the same as before. */
export async function openInput(file: string, signal: AbortSignal): Promise<Input> {
  if (file === "-") return openStandardInput(signal);
  const path = resolve(file);
  const found = await stat(path).catch((error: unknown) => {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw usageError(
      isMissing ? `There is no file ${file}` : `${file} cannot be read: ${whyOf(error)}`,
    );
  });
  if (!found.isFile()) throw usageError(`${file} is not a file`);
  if (found.size === 0) throw usageError(`${file} is empty`);
  const sha256 = await hashOf(path, file, signal);
  const source = sha256Hex(`${hostname()}\n${path}`).slice(0, 16);
  return { name: basename(path), path, sha256, source, remove: () => {} };
}

async function hashOf(path: string, file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of systemFiles.read(path, CHUNK_BYTES)) {
      signal.throwIfAborted();
      hash.update(chunk);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw usageError(`${file} cannot be read: ${whyOf(error)}`);
  }
  return hash.digest("hex");
}

/** Standard input can be read only once, so it is copied to a temporary file until it is sent. */
async function openStandardInput(signal: AbortSignal): Promise<Input> {
  if (process.stdin.isTTY)
    throw usageError(
      "`-` reads the standard input, which is the terminal here: pipe a file into it",
    );
  const folder = mkdtempSync(join(tmpdir(), "gptrunner-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const spooled = join(folder, "stdin");
    await mkdir(folder, { recursive: true });
    const file = await open(spooled, "wx", FILE_MODE);
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
        signal.throwIfAborted();
        hash.update(chunk);
        bytes += chunk.byteLength;
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
    if (bytes === 0) throw usageError("Nothing came through the standard input");
    const name = `stdin${extensionOf(await systemFiles.readStart(spooled, 512))}`;
    const path = join(folder, name);
    await rename(spooled, path);
    return { name, path, sha256: hash.digest("hex"), source: null, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** The file name extension for standard input; the server detects the format by the content. */
function extensionOf(start: Buffer): string {
  const text = start.toString("latin1");
  if (text.startsWith("PK")) return ".xlsx";
  if (text.startsWith("PAR1")) return ".parquet";
  return /^(\u00EF\u00BB\u00BF)?\s*[{[]/.test(text) ? ".jsonl" : ".csv";
}

/** The default extension of the results, which matches the format of the input. */
export function resultsExtension(name: string): string {
  const extension = extname(name).toLowerCase();
  if (extension === ".xlsx" || extension === ".jsonl" || extension === ".json") return extension;
  return extension === ".ndjson" ? ".jsonl" : ".csv";
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
