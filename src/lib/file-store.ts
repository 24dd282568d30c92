import type { By } from "./write-whole.ts";

/*
 * Uploads, inputs and outputs lie in one store: a folder of this machine (`local-store.ts`), or a bucket that
 * all processes share. Everything else that a process keeps on its disk is its own.
 */

/** The folder of uploads inside the store. Nothing else is written there except the store's own id. */
export const UPLOADS = ".uploads";
/** The name of the file with the store's id, beside the uploads. */
export const STORE_ID = "store-id";

/** The longest id; no more is read. */
export const MOST_ID_BYTES = 100;

/** Checks the text of the id file. `undefined` if it is not an id, because something else was put in its place. */
export function readStoreId(text: string | undefined): string | undefined {
  return text !== undefined && /^store-[0-9a-z]+$/.test(text) ? text : undefined;
}

/** A file of the store: an upload by its id, or another one by the path that a client gives. */
export type FileName = { upload: string } | { path: string };

/** A range of bytes from the first to the last, both included. */
export type Part = { first: number; last: number };

/** A file that was opened, and not yet read. */
export type OpenedFile = {
  bytes: number;
  /** Changes when the file is replaced or written to. */
  version: string;
  /** The bytes of this version. Reading fails if the file is replaced or removed meanwhile. */
  content: { blob: Blob } | { read(part: Part): AsyncIterable<Uint8Array> };
};

/** An upload in the store. `changedAt` is in ms since 1970; NaN if the store does not know it. */
type StoredUpload = { id: string; changedAt: number };

/** A file on the disk of this machine, for as long as it is needed. */
export type LocalFile = { path: string; release(): Promise<void> };

/**
 * All methods throw `PathError` if a client's path does not name a file of the store that may be used in this way.
 */
export type FileStore = {
  /** Checks whether a path may name a file to read. The file need not exist. */
  check(path: string): Promise<void>;
  /** `undefined` if there is no such file. */
  open(name: FileName): Promise<OpenedFile | undefined>;
  /** The same file on the local disk, where it can be read in any order and more than once. */
  toDisk(name: FileName): Promise<LocalFile | undefined>;
  /** Writes a file atomically: it appears whole or not at all, and replaces an existing one. */
  write(name: FileName, by: By, pieces: AsyncIterable<string | Uint8Array>): Promise<void>;
  /** Removes the remains of a file whose writer was killed, or is too slow to renew its lease. */
  removeLeft(name: FileName, by: By): Promise<void>;
  /** Removes a file, if there is one. */
  remove(name: FileName): Promise<void>;
  /** All uploads whose bytes are in the store, page by page. */
  uploads(): AsyncIterable<StoredUpload[]>;
  /** Removes unfinished writes that are not found on the local disk. */
  sweep(): Promise<void>;
  /**
   * The store's id, which is the same for all processes that share the store. If it has none yet, `fresh` becomes its
   * id.
   */
  identify(fresh: string, by: By): Promise<string>;
};
