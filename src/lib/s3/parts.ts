/** The size of a part. S3 accepts no smaller ones except the last, and no more than `MOST_PARTS` of them. */
export const PART_BYTES = 5 * 1024 * 1024;
export const MOST_PARTS = 10_000;
const FIRST_BYTES = 64 * 1024;

/** The bytes of one part, in memory that is reused for the next. */
export type FilledPart = { bytes: Uint8Array<ArrayBuffer>; isLast: boolean };

/** Divides a stream into parts of `partBytes`; the last may be shorter, and is empty if the stream is empty. */
export async function* inParts(
  pieces: AsyncIterable<string | Uint8Array>,
  partBytes: number,
): AsyncGenerator<FilledPart> {
  let part = new Uint8Array(FIRST_BYTES);
  let filled = 0;
  for await (const piece of pieces) {
    const bytes = typeof piece === "string" ? Buffer.from(piece) : piece;
    for (let at = 0; at < bytes.length;) {
      // A full part is passed on only when more bytes come, because the last part must be marked.
      if (filled === partBytes) {
        yield { bytes: part, isLast: false };
        filled = 0;
      }
      const count = Math.min(bytes.length - at, partBytes - filled);
      part = grown(part, filled, filled + count, partBytes);
      part.set(bytes.subarray(at, at + count), filled);
      filled += count;
      at += count;
    }
  }
  yield { bytes: part.subarray(0, filled), isLast: true };
}

function grown(
  part: Uint8Array<ArrayBuffer>,
  filled: number,
  needed: number,
  most: number,
): Uint8Array<ArrayBuffer> {
  if (needed <= part.length) return part;
  const larger = new Uint8Array(Math.min(most, Math.max(needed, part.length * 2)));
  larger.set(part.subarray(0, filled));
  return larger;
}
