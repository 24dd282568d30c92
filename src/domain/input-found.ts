export const INPUT_FORMATS = ["csv", "jsonl", "json"] as const;
export type InputFormat = (typeof INPUT_FORMATS)[number];

/** What was found in the file of a batch, and how it was read. */
export type InputFound = {
  format: InputFormat;
  /** Of a CSV. */
  delimiter: string | null;
  encoding: string | null;
  /** As templates name them. */
  columns: string[];
  rows: number;
  /** Rows without any text, which are no tasks. */
  skipped: number;
};
