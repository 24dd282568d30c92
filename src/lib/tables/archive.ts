import { crc32 } from "node:zlib";

import { type Entry, openPromise, type ZipFile } from "yauzl";

import { TableFileError } from "./table.ts";

/** Files in a workbook; one with pictures has hundreds. */
const MOST_ENTRIES = 20_000;
/** The largest directory of an archive, which is held in memory. */
const MOST_DIRECTORY_BYTES = 32 * 1024 * 1024;
/** The largest unpacked part that is held in memory. */
const MOST_HELD_BYTES = 32 * 1024 * 1024;
/** The largest unpacked part that is streamed. */
const MOST_STREAMED_BYTES = 2 * 1024 * 1024 * 1024;

/**
 * The parts of a workbook, which is a ZIP archive. The sizes that the archive declares are checked before anything is
 * unpacked, and the true ones while it is unpacked: a few kilobytes can claim to be gigabytes.
 */
export type Archive = {
  names: () => Iterable<string>;
  /** The text of a part, or `undefined` if there is none of that name. */
  readPart(name: string): Promise<string | undefined>;
  /** The text of a part in pieces. `what` names the part in error messages. */
  streamPart(name: string, what: string): AsyncGenerator<string>;
  close(): void;
};

/** Throws `TableFileError` if the file is not a readable archive. */
export async function openArchive(path: string): Promise<Archive> {
  const zip = await explained(openPromise(path, { autoClose: false }));
  try {
    const entries = await explained(readEntries(zip));
    return {
      names: () => entries.keys(),
      async readPart(name) {
        const entry = entries.get(name.toLowerCase());
        if (!entry) return undefined;
        requireSize(entry, name, MOST_HELD_BYTES);
        let text = "";
        for await (const piece of textOf(zip, entry, name)) text += piece;
        return text;
      },
      async *streamPart(name, what) {
        const entry = entries.get(name.toLowerCase());
        if (!entry)
          throw new TableFileError(
            `is damaged: ${what} is missing; open it in a spreadsheet program and save it again`,
          );
        requireSize(entry, what, MOST_STREAMED_BYTES);
        yield* textOf(zip, entry, what);
      },
      close: () => zip.close(),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

/** Programs differ in the case of the names of parts. */
async function readEntries(zip: ZipFile): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  if (zip.entryCount > MOST_ENTRIES)
    throw new TableFileError(
      `is an archive of more than ${MOST_ENTRIES} files, so it is not a workbook`,
    );
  let bytes = 0;
  for await (const entry of zip.eachEntry()) {
    bytes += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    if (bytes > MOST_DIRECTORY_BYTES)
      throw new TableFileError(
        "is an archive whose directory is too large, so it is not a workbook",
      );
    const name = entry.fileName.toLowerCase();
    if (entry.isEncrypted())
      throw new TableFileError("is an encrypted ZIP archive; save the workbook without a password");
    if (entries.has(name))
      throw new TableFileError(`is damaged: it has two parts ${entry.fileName}`);
    entries.set(name, entry);
  }
  return entries;
}

function requireSize({ uncompressedSize }: Entry, what: string, most: number): void {
  if (uncompressedSize > most)
    throw new TableFileError(
      `cannot be read: ${what} would take ${uncompressedSize} bytes unpacked, and ${most} is the most; ` +
        "divide it, or save it as CSV",
    );
}

async function* textOf(zip: ZipFile, entry: Entry, what: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const stream = await explained(zip.openReadStreamPromise(entry));
  let sum = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sum = crc32(chunk, sum);
      yield decoder.decode(chunk, { stream: true });
    }
    yield decoder.decode();
  } catch (error) {
    throw isOfSystem(error) ? error : damaged(what, error);
  } finally {
    stream.destroy();
  }
  if (sum !== entry.crc32) throw damaged(what, "its checksum differs");
}

function damaged(what: string, why: unknown): TableFileError {
  return new TableFileError(`is damaged: ${what} cannot be unpacked (${reasonOf(why)})`);
}

async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof TableFileError || isOfSystem(error)) throw error;
    throw new TableFileError(`is not a workbook, or a damaged one (${reasonOf(error)})`);
  }
}

function isOfSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
