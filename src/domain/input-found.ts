export const INPUT_FORMATS = ["csv", "jsonl", "json", "xlsx", "parquet", "batch"] as const;
type InputFormat = (typeof INPUT_FORMATS)[number];

/** How the input of a batch was read, whether a file or another batch, and what it contains. */
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
  /** Rows without any text, which do not become tasks. */
  skipped: number;
  /** The prefix of the task ids before the ids of the rows. */
  idPrefix?: string;
};
