import { basename, dirname } from "node:path";

import type { FileSystem } from "../../src/lib/file-system.ts";

/** Files in memory. The files of a killed node stay as they are, temporary ones included. */
export function createFiles(): FileSystem & { put(path: string, text: string): void } {
  const files = new Map<string, Buffer>();
  const folders = new Set<string>(["/"]);

  function makeFolders(path: string): void {
    for (let at = path; !folders.has(at); at = dirname(at)) folders.add(at);
  }

  function bytesOf(path: string): Buffer {
    const bytes = files.get(path);
    if (!bytes) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return bytes;
  }

  return {
    put(path, text) {
      makeFolders(dirname(path));
      files.set(path, Buffer.from(text));
    },
    kindOf: async (path) => (files.has(path) ? "file" : folders.has(path) ? "folder" : undefined),
    async realPath(path) {
      if (!folders.has(path)) bytesOf(path);
      return path;
    },
    makeFolder: async (path) => makeFolders(path),
    async *read(path, chunkBytes = 65_536) {
      const bytes = bytesOf(path);
      for (let at = 0; at < bytes.length; at += chunkBytes)
        yield bytes.subarray(at, at + chunkBytes);
    },
    blob: async (path) => new Blob([Uint8Array.from(bytesOf(path))]),
    versionOf: async (path) => bytesOf(path).toString("base64"),
    readStart: async (path, bytes) => bytesOf(path).subarray(0, bytes),
    async create(path) {
      files.set(path, Buffer.alloc(0));
      return {
        async write(piece) {
          files.set(path, Buffer.concat([bytesOf(path), Buffer.from(piece)]));
        },
        sync: async () => {},
        close: async () => {},
      };
    },
    async rename(from, to) {
      files.set(to, bytesOf(from));
      files.delete(from);
    },
    async link(from, to) {
      if (files.has(to)) return false;
      files.set(to, bytesOf(from));
      return true;
    },
    remove: async (path) => void files.delete(path),
    async *namesIn(path) {
      for (const file of files.keys()) if (dirname(file) === path) yield basename(file);
    },
    changedAt: async (path) => (files.has(path) ? 0 : undefined),
    space: async () => ({ free: 1e12, total: 2e12 }),
  };
}
