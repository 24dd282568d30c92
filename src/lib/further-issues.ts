/** The most issues that are listed. The first one is in the message of the error. */
const MOST_LINES = 10;

type Issue = { row?: number; field?: string; path?: string; message?: string };

/**
 * The `details` of an API error as lines for a reader: the wrong rows of a file, or the wrong fields, without the
 * first one, which the message names.
 */
export function furtherIssues(details: Record<string, unknown>): string[] {
  const all = [details["rows"], details["issues"]].find(Array.isArray) as Issue[] | undefined;
  if (!all || all.length < 2) return [];
  const total = typeof details["total"] === "number" ? details["total"] : all.length;
  const lines = all.slice(1, MOST_LINES).map(({ row, field, path, message }) => {
    const place = row === undefined ? [path] : [`row ${row}`, field];
    const where = place.filter(Boolean).join(", ");
    return where === "" ? `  ${message}` : `  ${where}: ${message}`;
  });
  return total > MOST_LINES ? [...lines, `  … and ${total - MOST_LINES} more`] : lines;
}
