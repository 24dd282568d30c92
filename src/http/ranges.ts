import { AppError } from "../errors.ts";
import type { Part } from "../lib/file-store.ts";

/**
 * The part that a `Range` header requests (RFC 9110, 14.2), or `undefined` if everything is to be sent: without the
 * header, for several parts at once, and for units other than bytes. Throws `RANGE_NOT_SATISFIABLE` if the range is
 * empty.
 */
export function readRange(header: string | undefined, size: number): Part | undefined {
  const asked = /^\s*bytes\s*=([^-]*)-([^-]*)$/i.exec(header ?? "");
  if (!asked) return undefined;
  // Trimmed apart from the pattern, which would try all ways to divide a long run of blanks.
  const [from = "", to = ""] = asked.slice(1).map((end) => end.trim());
  if (![from, to].every((end) => /^\d*$/.test(end)) || (from === "" && to === "")) return undefined;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== "" && to !== "" && Number(to) < Number(from)) return undefined;
  if (first > last)
    throw new AppError("RANGE_NOT_SATISFIABLE", `There are ${size} bytes`, { bytes: size });
  return { first, last };
}

/** The bytes of a part of `pieces`, which is not read beyond it. */
export async function* cutOut(
  pieces: AsyncIterable<Uint8Array>,
  { first, last }: Part,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of pieces) {
    const from = Math.max(0, first - at);
    const to = Math.min(piece.length, last + 1 - at);
    if (from < to) yield piece.subarray(from, to);
    at += piece.length;
    if (at > last) return;
  }
}

/** Counts the bytes of a stream. */
export async function countBytes(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) bytes += piece.length;
  return bytes;
}
