import { ZipFile } from "yazl";

import {
  contentTypes,
  relationships,
  ROOT_RELATIONSHIPS,
} from "../../src/lib/tables/xlsx-parts.ts";

const MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const REFERENCES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

export type SheetParts = { name: string; rows: string; state?: string };

/** A ZIP archive with these parts. */
export async function zipOf(parts: Record<string, string | Buffer>): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, content] of Object.entries(parts)) zip.addBuffer(Buffer.from(content), name);
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** A workbook with these rows, given as XML. `others` replaces parts of the archive. */
export function workbookOf(
  sheets: string | SheetParts[],
  {
    texts = [],
    formats = [],
    is1904 = false,
    others = {},
  }: {
    /** The content of each shared string. */
    texts?: string[];
    /** The number formats of the styles 1, 2, … */
    formats?: string[];
    is1904?: boolean;
    others?: Record<string, string | Buffer>;
  } = {},
): Promise<Buffer> {
  const all = typeof sheets === "string" ? [{ name: "Sheet1", rows: sheets }] : sheets;
  const list = all.map(
    ({ name, state }: SheetParts, i) =>
      `<sheet name="${name}" sheetId="${i + 1}"${state ? ` state="${state}"` : ""} r:id="rId${i + 1}"/>`,
  );
  const codes = formats.map((code, i) => `<numFmt numFmtId="${200 + i}" formatCode="${code}"/>`);
  const styles = formats.map((_, i) => `<xf numFmtId="${200 + i}"/>`);
  const shared = `<Relationship Id="texts" Type="${REFERENCES}/sharedStrings" Target="sharedStrings.xml"/></Relationships>`;
  return zipOf({
    "[Content_Types].xml": contentTypes(all.length),
    "_rels/.rels": ROOT_RELATIONSHIPS,
    "xl/workbook.xml": `<workbook xmlns="${MAIN}" xmlns:r="${REFERENCES}"><workbookPr date1904="${is1904}"/><sheets>${list.join("")}</sheets></workbook>`,
    "xl/_rels/workbook.xml.rels": relationships(all.length).replace("</Relationships>", shared),
    "xl/styles.xml": `<styleSheet xmlns="${MAIN}"><numFmts>${codes.join("")}</numFmts><cellXfs><xf numFmtId="0"/>${styles.join("")}</cellXfs></styleSheet>`,
    "xl/sharedStrings.xml": `<sst xmlns="${MAIN}">${texts.map((text) => `<si>${text}</si>`).join("")}</sst>`,
    ...Object.fromEntries(
      all.map(({ rows }, i) => [
        `xl/worksheets/sheet${i + 1}.xml`,
        `<worksheet xmlns="${MAIN}"><sheetData>${rows}</sheetData></worksheet>`,
      ]),
    ),
    ...others,
  });
}

/** A row of inline strings. Other cells are given as XML. */
export function row(number: number, ...cells: (string | { xml: string })[]): string {
  const content = cells.map((cell, i) => {
    const reference = `${String.fromCharCode(65 + i)}${number}`;
    if (typeof cell === "string")
      return cell === "" ? "" : `<c r="${reference}" t="inlineStr"><is><t>${cell}</t></is></c>`;
    return cell.xml.replace("<c", `<c r="${reference}"`);
  });
  return `<row r="${number}">${content.join("")}</row>`;
}
