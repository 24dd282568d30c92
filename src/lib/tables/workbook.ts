import type { Archive } from "./archive.ts";
import { TableFileError, type WorkbookOptions } from "./table.ts";
import { type Attributes, readXml } from "./xml.ts";

type Sheet = { name: string; isHidden: boolean; path: string | undefined };

export type Workbook = {
  sheets: Sheet[];
  /** Days are counted from 1904 instead of 1900, as Excel on a Macintosh did. */
  is1904: boolean;
  sharedStrings: string | undefined;
  styles: string | undefined;
};

const MOST_SHEETS = 1000;
/** The most names that an error message lists. */
const MOST_NAMED = 20;

/** Reads the structure of a workbook. Throws `TableFileError` if it is not a workbook, or has macros. */
export async function readWorkbook(archive: Archive): Promise<Workbook> {
  await requireWorkbook(archive);
  const root = await relationsOf(archive, "");
  const path = root.find(({ type }) => type === "officedocument")?.target ?? "xl/workbook.xml";
  const xml = await archive.readPart(path);
  if (xml === undefined) throw new TableFileError("is damaged: its list of sheets is missing");
  const relations = await relationsOf(archive, path);
  const pathOf = (type: string) => relations.find((one) => one.type === type)?.target;
  const workbook: Workbook = {
    sheets: [],
    is1904: false,
    sharedStrings: pathOf("sharedstrings"),
    styles: pathOf("styles"),
  };
  readXml(xml, {
    open(tag, attributes) {
      if (tag === "workbookPr") workbook.is1904 = isTrue(attributes["date1904"]);
      if (tag !== "sheet" || workbook.sheets.length >= MOST_SHEETS) return;
      const id = relationId(attributes);
      const relation = relations.find((one) => one.id === id && one.type === "worksheet");
      const { name = "", state = "visible" } = attributes;
      workbook.sheets.push({ name, isHidden: state !== "visible", path: relation?.target });
    },
    text() {},
    close() {},
  });
  return workbook;
}

/** The requested sheet. Throws `TableFileError` if there is none. */
export function findSheet({ sheets }: Workbook, asked: WorkbookOptions["sheet"]) {
  const tables = sheets.filter(({ path }) => path !== undefined);
  const found =
    typeof asked === "number"
      ? sheets[asked - 1]
      : asked === undefined
        ? (tables.find(({ isHidden }) => !isHidden) ?? tables[0])
        : (sheets.find(({ name }) => name === asked) ??
          sheets.find(({ name }) => name.toLowerCase() === asked.toLowerCase()));
  if (found?.path !== undefined) return { name: found.name, path: found.path };
  if (found)
    throw new TableFileError(`has no cells in sheet ${quoted(found.name)}, which is a chart`);
  const names = sheets.slice(0, MOST_NAMED).map(({ name }) => quoted(name));
  const more = sheets.length > MOST_NAMED ? ` and ${sheets.length - MOST_NAMED} more` : "";
  throw new TableFileError(
    asked === undefined
      ? "has no sheet of cells"
      : `has no sheet ${typeof asked === "number" ? asked : quoted(asked)}; it has ${names.join(", ")}${more}`,
  );
}

const quoted = (name: string) => JSON.stringify(name.slice(0, 100));

const MACROS =
  "is a workbook with macros, which are never run here; save it as .xlsx, which has none";

async function requireWorkbook(archive: Archive): Promise<void> {
  const types = await archive.readPart("[Content_Types].xml");
  if (types === undefined) {
    const kind = await archive.readPart("mimetype");
    throw new TableFileError(
      kind?.includes("opendocument.spreadsheet")
        ? "is an OpenDocument spreadsheet; save it as .xlsx or CSV"
        : "is a ZIP archive, but not a workbook; upload the table that is in it",
    );
  }
  for (const name of archive.names())
    if (name.endsWith("vbaproject.bin")) throw new TableFileError(MACROS);
  if (/macroEnabled/i.test(types)) throw new TableFileError(MACROS);
  if (/sheet\.binary/i.test(types))
    throw new TableFileError("is a binary workbook (.xlsb); save it as .xlsx or CSV");
  if (!/spreadsheetml/i.test(types))
    throw new TableFileError("is an Office file, but not a workbook; give a table");
}

type Relation = { id: string; type: string; target: string };

/** What a part refers to; `""` is the archive as a whole. */
async function relationsOf(archive: Archive, part: string): Promise<Relation[]> {
  const slash = part.lastIndexOf("/") + 1;
  const folder = part.slice(0, slash);
  const xml = await archive.readPart(`${folder}_rels/${part.slice(slash)}.rels`);
  const relations: Relation[] = [];
  if (xml === undefined) return relations;
  readXml(xml, {
    open(tag, { Id: id = "", Type: type = "", Target: target = "", TargetMode: mode }) {
      if (tag !== "Relationship" || mode === "External") return;
      const kind = type.slice(type.lastIndexOf("/") + 1).toLowerCase();
      relations.push({ id, type: kind, target: resolved(folder, target) });
    },
    text() {},
    close() {},
  });
  return relations;
}

/** Resolves a path within the archive. Its entries are names, not paths of the machine. */
function resolved(folder: string, target: string): string {
  const names: string[] = [];
  for (const name of (target.startsWith("/") ? target : folder + target).split("/"))
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  return names.join("/");
}

/** The id of a relationship. The program that wrote the file chose the prefix of its namespace. */
function relationId(attributes: Attributes): string | undefined {
  const name = Object.keys(attributes).find((one) => /:id$/i.test(one));
  return name === undefined ? undefined : attributes[name];
}

function isTrue(value: string | undefined): boolean {
  return value === "1" || value === "true";
}
