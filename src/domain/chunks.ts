/**
 * How much is done in one commit. The figures are measured for real databases; the simulation takes
 * small ones, so that what happens between two chunks happens with few tasks, too.
 */
export type Chunks = {
  /** Tasks of a batch that are cancelled or become pending again: some ten milliseconds of the event loop. */
  sweep: number;
  /** Tasks of a batch that enter the queue: about a millisecond. */
  feed: number;
  /** Rows of an input: some ten milliseconds, and few enough syncs of the disk. */
  ingest: number;
};

export const CHUNKS: Chunks = { sweep: 1000, feed: 1000, ingest: 1250 };
