import { basename, resolve } from "node:path";

import { systemFiles } from "../lib/file-system.ts";
import type { Api } from "./client.ts";
import { actOn, group, print, serverCommand, whole } from "./command.ts";
import { usageError } from "./failure.ts";
import { table } from "./format.ts";

type StoredFile = { id: string; name: string; bytes: number; createdAt: string };

/** `gptrunner files …`. */
export function filesCommand() {
  return group("files", "Upload files, and look at those that are there")
    .addCommand(listCommand())
    .addCommand(uploadCommand())
    .addCommand(catCommand())
    .addCommand(removeCommand());
}

function listCommand() {
  return serverCommand("ls", "List uploads, the latest first")
    .option("--limit <n>", "how many (20)", whole(1))
    .action((options) =>
      actOn(options, async ({ api }, tools) => {
        const query = { limit: options.limit ?? 20 };
        const { files } = await api.call<{ files: StoredFile[] }>("/files", { query });
        await print(tools, files, (all) =>
          table(
            ["ID", "BYTES", "CREATED", "NAME"],
            all.map(({ id, bytes, createdAt, name }) => [id, bytes, createdAt, name]),
          ),
        );
      }),
    );
}

function uploadCommand() {
  return serverCommand("upload", "Upload a file, and print its id")
    .argument("<file>", "the file")
    .action((path, options) =>
      actOn(options, async ({ api }, tools) => {
        const file = await uploadFile(api, path);
        await print(tools, file, ({ id }) => id);
      }),
    );
}

/** Sends a file of this machine. */
export async function uploadFile(
  api: Api,
  path: string,
  signal?: AbortSignal,
): Promise<StoredFile> {
  if ((await systemFiles.kindOf(await realPathOf(path))) !== "file")
    throw usageError(`${path} is not a file`);
  const form = new FormData();
  form.set("file", await systemFiles.blob(resolve(path)), basename(path));
  return api.call("/files", { method: "POST", body: form, ...(signal ? { signal } : {}) });
}

function realPathOf(path: string): Promise<string> {
  return systemFiles.realPath(resolve(path)).catch(() => {
    throw usageError(`There is no file ${path}`);
  });
}

function catCommand() {
  return serverCommand("cat", "Write an upload to the standard output, byte for byte")
    .argument("<id>", "the file")
    .action((id, options) =>
      actOn(options, async ({ api }, { terminal, interrupt }) => {
        const path = `/files/${encodeURIComponent(id)}/content`;
        const { body } = await api.open(path, { signal: interrupt.signal });
        for await (const piece of (body ?? new Blob([]).stream()) as AsyncIterable<Uint8Array>)
          await terminal.out(piece);
      }),
    );
}

function removeCommand() {
  return serverCommand("rm", "Delete an upload; batches that were created from it stay")
    .argument("<id>", "the file")
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        await api.call(`/files/${encodeURIComponent(id)}`, { method: "DELETE" });
        await print(tools, { id, deleted: true }, () => `${id} is gone`);
      }),
    );
}
