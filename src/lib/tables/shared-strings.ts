import type { Archive } from "./archive.ts";
import { unescaped } from "./cell-text.ts";
import { PackedTexts } from "./packed-texts.ts";
import { XmlReader } from "./xml.ts";

/**
 * The texts that the cells of a workbook refer to by number. Formatted pieces are joined; phonetic readings of
 * Japanese are left out.
 */
export async function readSharedStrings(
  archive: Archive,
  path: string | undefined,
): Promise<PackedTexts> {
  const texts = new PackedTexts();
  if (path === undefined) return texts;
  let text = "";
  let [isText, isReading] = [false, false];
  const reader = new XmlReader({
    open(tag) {
      if (tag === "si") text = "";
      else if (tag === "rPh") isReading = true;
      else if (tag === "t") isText = !isReading;
    },
    text(piece) {
      if (isText) text += piece;
    },
    close(tag) {
      if (tag === "t") isText = false;
      else if (tag === "rPh") isReading = false;
      else if (tag === "si") texts.add(unescaped(text));
    },
  });
  for await (const piece of archive.streamPart(path, "its list of texts")) reader.write(piece);
  reader.end();
  return texts;
}
