import type { By } from "./write-whole.ts";

/*
 * Uploads, inputs and outputs lie in one store: a folder of this machine (`local-store.ts`), or a bucket that
 * all processes share. Everything else that a process keeps on its disk is its own.
 */

/** Uploads lie here, inside the store; nothing else is written there but the store's own id. */
export const UPLOADS = ".uploads";
/** Beside the uploads: what the store is called by those who have it. */
export const STORE_ID = "store-id";

/** What is read of it; longer no id is. */
export const MOST_ID_BYTES = 100;

/** The id that a text is; what somebody else has put in its place is none. */
export function readStoreId(text: string | undefined): string | undefined {
  return text !== undefined && /^store-[0-9a-z]+$/.test(text) ? text : undefined;
}

/** A file of the store: an upload by its id, or another one by the path that a client gives. */
export type FileName = { upload: string } | { path: string };

/** A range of bytes from the first to the last, both included. */
export type Part = { first: number; last: number };

/** A file as it is now. Nothing of it has been read. */
export type OpenedFile = {
  bytes: number;
  /** Differs when the file was replaced or written to. */
  version: string;
  /** Bytes of this version. Fails while it is read where the file is replaced or removed. */
  content: { blob: Blob } | { read(part: Part): AsyncIterable<Uint8Array> };
};

/** A file on the disk of this machine, for as long as it is needed. */
export type LocalFile = { path: string; release(): Promise<void> };

/** Paths that clients give throw `PathError` where they name no file of the store that may be used so. */
export type FileStore = {
  /** Whether a path may name a file to read; there need not be one. */
  check(path: string): Promise<void>;
  /** `undefined` where there is no such file. */
  open(name: FileName): Promise<OpenedFile | undefined>;
  /** The same file on the disk, where it can be read in any order and more than once. */
  toDisk(name: FileName): Promise<LocalFile | undefined>;
  /** Writes a file so that it appears whole or not at all, in place of what is there. */
  write(name: FileName, by: By, pieces: AsyncIterable<string | Uint8Array>): Promise<void>;
  /** Removes what a writer has left of a file that was killed, or is too slow to prove that it lives. */
  removeLeft(name: FileName, by: By): Promise<void>;
  /** Removes a file, if there is one. */
  remove(name: FileName): Promise<void>;
  /** Removes what writers have begun and never finished, where that is not found on the disk. */
  sweep(): Promise<void>;
  /** The same for all who have this store, and for nobody else. `fresh` is kept where nothing is yet. */
  identify(fresh: string, by: By): Promise<string>;
};
