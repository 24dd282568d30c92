import { createReadStream, openAsBlob } from "node:fs";
import {
  link,
  lstat,
  mkdir,
  open,
  opendir,
  realpath,
  rename,
  rm,
  stat,
  statfs,
} from "node:fs/promises";

/** The kind of a directory entry; symbolic links are not followed. */
type FileKind = "file" | "folder" | "link" | "other";

/** The bytes of a file system. */
type DiskSpace = { free: number; total: number };

type OpenFile = {
  /** Appends. */
  write(piece: string | Uint8Array): Promise<void>;
  /** Resolves when what was written is on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
};

/**
 * The file operations of one process; the simulation has its own. Paths are absolute; failures throw the system's
 * error.
 */
export type FileSystem = {
  /** `undefined` if nothing is there, or it cannot be determined. */
  kindOf(path: string): Promise<FileKind | undefined>;
  realPath(path: string): Promise<string>;
  /** Makes a folder and its parents. */
  makeFolder(path: string): Promise<void>;
  /** The bytes of a file in chunks of `chunkBytes`. */
  read(path: string, chunkBytes?: number): AsyncIterable<Buffer>;
  /** A file to be sent; nothing is read yet. */
  blob(path: string): Promise<Blob>;
  /** Changes when the file is replaced or written to. */
  versionOf(path: string): Promise<string>;
  /** The first bytes of a file, `bytes` at most. */
  readStart(path: string, bytes: number): Promise<Buffer>;
  /** Creates an empty file, and replaces an existing one. */
  create(path: string): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  /** Gives a file a second name, unless the name is taken. Returns whether it did. */
  link(from: string, to: string): Promise<boolean>;
  /** Removes a file, if there is one. */
  remove(path: string): Promise<void>;
  /** The names of the entries of a folder, in any order; none if there is no such folder. */
  namesIn(path: string): AsyncIterable<string>;
  /** When a file was last written to, in Unix ms; `undefined` if there is none. */
  changedAt(path: string): Promise<number | undefined>;
  /** The space of the file system that a folder is on. */
  space(path: string): Promise<DiskSpace>;
};

/** Other users of the machine must not read prompts and answers. */
export const FILE_MODE = 0o600;
export const FOLDER_MODE = 0o700;

export const systemFiles: FileSystem = {
  async kindOf(path) {
    const info = await lstat(path).catch(() => undefined);
    if (!info) return undefined;
    if (info.isFile()) return "file";
    return info.isDirectory() ? "folder" : info.isSymbolicLink() ? "link" : "other";
  },
  realPath: (path) => realpath(path),
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: FOLDER_MODE });
  },
  read: (path, chunkBytes = 65_536) => createReadStream(path, { highWaterMark: chunkBytes }),
  blob: (path) => openAsBlob(path),
  async versionOf(path) {
    // The last is the time of any change: a file that was exchanged and put back, or dated back, has another.
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join();
  },
  async readStart(path, bytes) {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  },
  async create(path) {
    const file = await open(path, "w", FILE_MODE);
    return {
      write: (piece) => file.writeFile(piece),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
  rename: (from, to) => rename(from, to),
  async link(from, to) {
    try {
      await link(from, to);
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw error;
    }
  },
  remove: (path) => rm(path, { force: true }),
  async *namesIn(path) {
    const folder = await opendir(path).catch(() => undefined);
    for await (const { name } of folder ?? []) yield name;
  },
  changedAt: (path) =>
    lstat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    ),
  async space(path) {
    const { bavail, blocks, bsize } = await statfs(path);
    return { free: bavail * bsize, total: blocks * bsize };
  },
};
