import { openArchive } from "./archive.ts";
import { readNumberFormats } from "./number-formats.ts";
import { readSharedStrings } from "./shared-strings.ts";
import { SheetReader } from "./sheet.ts";
import type { Cell, TableRows, WorkbookOptions } from "./table.ts";
import { findSheet, readWorkbook } from "./workbook.ts";

/**
 * The rows of one sheet of a workbook (ECMA-376), which is read while it is unpacked: only its distinct texts are
 * held in memory. Throws `TableFileError` if it cannot be read or exceeds a limit.
 */
export async function* readXlsx(
  path: string,
  options: WorkbookOptions,
  onFound: Parameters<TableRows>[0],
): AsyncGenerator<Cell[][]> {
  const archive = await openArchive(path);
  try {
    const workbook = await readWorkbook(archive);
    const sheet = findSheet(workbook, options.sheet);
    const dates = new Set<number>();
    const reader = new SheetReader({
      name: sheet.name,
      formats: await readNumberFormats(archive, workbook.styles, workbook.is1904),
      texts: await readSharedStrings(archive, workbook.sharedStrings),
      isShown: options.values === "formatted",
      dates,
    });
    const what = `sheet ${JSON.stringify(sheet.name)}`;
    for await (const piece of archive.streamPart(sheet.path, what)) {
      reader.write(piece);
      if (reader.collector.isFull) yield reader.collector.take();
    }
    reader.end();
    yield reader.collector.take();
    onFound({ sheet: sheet.name, dates: [...dates].toSorted((a, b) => a - b) });
  } finally {
    archive.close();
  }
}
