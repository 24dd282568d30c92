/** Delimiters of CSV files, the likeliest first. */
const DELIMITERS = [",", ";", "\t", "|"];
const OF_TSV = ["\t", ",", ";", "|"];
/** How many records of the sample are examined. */
const MOST_RECORDS = 100;

export type CsvDialect = {
  delimiter: string;
  /** The first line is `sep=;`, which sets the delimiter for Excel and is not a row. */
  hasSepLine: boolean;
};

/**
 * The delimiter of a CSV file, from its beginning: the one that `sep=` in the first line names, or the one that
 * divides the header and gives the most rows as many cells. `isWhole`: the text does not end in the middle of a
 * record; `isTsv`: a tab is the default.
 */
export function sniffCsv(
  text: string,
  { isWhole, isTsv }: { isWhole: boolean; isTsv: boolean },
): CsvDialect {
  const named = /^\uFEFF?"?sep=([^\r\n"])"?(?:\r|\n|$)/i.exec(text)?.[1];
  if (named !== undefined) return { delimiter: named, hasSepLine: true };
  const delimiters = isTsv ? OF_TSV : DELIMITERS;
  const scores = delimiters.map((delimiter) => {
    const counts = countCells(text, delimiter);
    if (!isWhole && counts.length > 1) counts.pop();
    const [header = 0] = counts;
    const same = counts.filter((count) => count === header).length / counts.length;
    return { delimiter, header, score: header > 1 ? same : 0 };
  });
  // The sort is stable: of equals, the likelier one stays first.
  const [best] = scores.toSorted((a, b) => b.score - a.score || b.header - a.header);
  const found = best && best.score > 0 ? best.delimiter : delimiters[0];
  return { delimiter: found ?? ",", hasSepLine: false };
}

/** The numbers of cells of the first records that are not blank. Empty cells at the end do not count. */
function countCells(text: string, delimiter: string): number[] {
  const counts: number[] = [];
  let [cells, filled, isQuoted, isAtStart] = [1, 0, false, true];
  const end = () => {
    if (filled > 0) counts.push(filled);
    [cells, filled, isAtStart] = [1, 0, true];
  };
  for (let i = 0; i < text.length && counts.length < MOST_RECORDS; i++) {
    const char = text[i] ?? "";
    if (isQuoted) {
      filled = cells;
      if (char === '"') isQuoted = false;
    } else if (char === '"' && (isAtStart || text[i - 1] === '"')) {
      // At the start of a cell, or the second of two within one.
      [isQuoted, isAtStart] = [true, false];
    } else if (char === delimiter) {
      [cells, isAtStart] = [cells + 1, true];
    } else if (char === "\n" || char === "\r") {
      end();
    } else if (char.trim() !== "") {
      [filled, isAtStart] = [cells, false];
    }
  }
  if (counts.length < MOST_RECORDS) end();
  return counts;
}
