/**
 * How much is done in one commit, and read in one answer. The figures are measured for real databases; the simulation takes
 * small ones, so that what happens between two chunks happens with few tasks, too.
 */
export type Chunks = {
  /** Tasks of a batch that are cancelled or become pending again: some ten milliseconds of the event loop. */
  sweep: number;
  /** Tasks of a batch that enter the queue in one unit: less than ten milliseconds. */
  feed: number;
  /** Rows of an input that are checked and stored together: less than ten milliseconds. */
  ingest: number;
  /** Bytes of results that are committed as one unit. */
  flushBytes: number;
  /** Bytes of texts that one answer of the database carries. */
  answerBytes: number;
  /** The most bytes of a task's request, prompt, metadata and cells together. */
  rowBytes: number;
};

/** For a local file, whose limits are those of memory. */
export const CHUNKS: Chunks = {
  sweep: 500,
  feed: 500,
  ingest: 500,
  flushBytes: 8_000_000,
  answerBytes: 64_000_000,
  rowBytes: Infinity,
};

/**
 * A libSQL server's answers have at most 10 MB, in JSON, which may take twice the bytes of a text. It refuses rows of
 * 5,000,000 bytes.
 */
export const SERVER_CHUNKS: Chunks = {
  ...CHUNKS,
  flushBytes: 4_000_000,
  answerBytes: 4_000_000,
  rowBytes: 4_900_000,
};
