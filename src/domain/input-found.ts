export const INPUT_FORMATS = ["csv", "jsonl", "json", "xlsx", "parquet", "batch"] as const;
type InputFormat = (typeof INPUT_FORMATS)[number];

/** What was found in the file of a batch, or in the batch that its rows come from, and how it was read. */
export type InputFound = {
  format: InputFormat;
  /** Only of a CSV. */
  delimiter: string | null;
  encoding: string | null;
  /** As templates name them. */
  columns: string[];
  rows: number;
  /** Only of a workbook: which sheet was read. */
  sheet?: string;
  /** Only of a workbook or Parquet: the columns whose texts are dates. */
  dates?: string[];
  /** Rows without any text, which are no tasks. */
  skipped: number;
  /** What the ids of the tasks have before those of the rows. */
  idPrefix?: string;
};
