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
  /** Present if the name of the file says another format than its content. */
  warning?: string;
  /** Rows without any text, which do not become tasks. */
  skipped: number;
  /** The prefix of the task ids before the ids of the rows. */
  idPrefix?: string;
};

const WORDS: Record<InputFormat, string> = {
  csv: "CSV",
  json: "JSON",
  jsonl: "JSON",
  xlsx: "a workbook",
  parquet: "Parquet",
  batch: "a batch",
};

/** What the ending of a name promises. An old workbook (`xls`) is never read, so a file of that name is another. */
const PROMISES: Record<string, InputFormat> = {
  csv: "csv",
  tsv: "csv",
  tab: "csv",
  json: "json",
  jsonl: "json",
  ndjson: "json",
  xlsx: "xlsx",
  xlsm: "xlsx",
  xls: "xlsx",
  parquet: "parquet",
};

/**
 * A warning if the name of a file says another format than the one it was read in, such as a CSV that was renamed to
 * `.xlsx`. The content decides, because programs that export tables often name them wrongly.
 */
export function warningOf(name: string, format: InputFormat): string | undefined {
  const ending = /\.([a-z]+)$/i.exec(name)?.[1]?.toLowerCase() ?? "";
  const promised = PROMISES[ending];
  if (promised === undefined || WORDS[promised] === WORDS[format]) return undefined;
  return `${name} is not ${WORDS[promised]}, as its name says, but ${WORDS[format]}, and was read as such: check its columns`;
}
