import { join, relative } from "node:path";

import type { Context } from "../context.ts";
import { UPLOAD_ID } from "../domain/upload-refs.ts";
import { UPLOADS } from "../lib/file-store.ts";
import { isTemporaryName } from "../lib/write-whole.ts";
import * as store from "../store/files.ts";
import { readRows } from "../store/rows.ts";

/** A file in the files folder, or an upload in the bucket, that belongs to nothing. */
export type StrayFile = { path: string; why: string };

export type StrayFiles = {
  stray: StrayFile[];
  /** Uploads in the database whose bytes are not in the files folder, or in the bucket. */
  missing: { id: string; name: string }[];
};

/** A younger file may belong to an upload or a result in progress. */
const YOUNG_MS = 3_600_000;
const AT_ONCE = 500;

type Part = Pick<Context, "files" | "fileStore" | "config" | "clock" | "client" | "longReads">;

/**
 * Finds uploads without a row, files that killed processes have left unfinished, and rows whose bytes are missing.
 * Files that people put into the folder are never included.
 */
export async function findStrayFiles(ctx: Part): Promise<StrayFiles> {
  const stray: StrayFile[] = [];
  for await (const path of temporaryFiles(ctx, ctx.config.filesDir))
    stray.push({
      path: relative(ctx.config.filesDir, path),
      why: "was not written to its end",
    });
  const uploads = new Map<string, number>();
  for await (const page of ctx.fileStore.uploads())
    for (const { id, changedAt } of page) if (UPLOAD_ID.test(id)) uploads.set(id, changedAt);
  const ids = [...uploads.keys()];
  for (let i = 0; i < ids.length; i += AT_ONCE) {
    const some = ids.slice(i, i + AT_ONCE);
    for (const { id } of await readRows(ctx.client, store.unknownFiles(some)))
      if ((uploads.get(id) ?? NaN) < ctx.clock.now() - YOUNG_MS)
        stray.push({ path: pathOf(id), why: "is an upload that the database does not know" });
  }
  return { stray, missing: await findMissing(ctx, uploads) };
}

/** Removes stray files, unless they have got a row meanwhile. Returns how many. */
export async function removeStrayFiles(ctx: Part, stray: readonly StrayFile[]): Promise<number> {
  let removed = 0;
  for (const { path } of stray) {
    const upload = path.split("/").at(-1) ?? "";
    if (path === pathOf(upload)) {
      if ((await readRows(ctx.client, store.unknownFiles([upload]))).length === 0) continue;
      await ctx.fileStore.remove({ upload });
    } else {
      const place = join(ctx.config.filesDir, path);
      if (!(await isOld(ctx, place))) continue;
      await ctx.files.remove(place);
    }
    removed++;
  }
  return removed;
}

async function findMissing(
  ctx: Part,
  there: ReadonlyMap<string, unknown>,
): Promise<StrayFiles["missing"]> {
  const missing: StrayFiles["missing"] = [];
  let after = 0;
  for (;;) {
    const page = await readRows(ctx.longReads.client, store.filesAfter(after, AT_ONCE));
    for (const { id, name } of page)
      if (!there.has(id) && !(await ctx.fileStore.open({ upload: id }))) missing.push({ id, name });
    after = page.at(-1)?.seq ?? after;
    if (page.length < AT_ONCE) return missing;
  }
}

async function* temporaryFiles(ctx: Part, folder: string): AsyncGenerator<string> {
  for await (const name of ctx.files.namesIn(folder)) {
    const path = join(folder, name);
    const kind = await ctx.files.kindOf(path);
    if (kind === "folder") yield* temporaryFiles(ctx, path);
    else if (kind === "file" && isTemporaryName(name) && (await isOld(ctx, path))) yield path;
  }
}

async function isOld({ files, clock }: Part, path: string): Promise<boolean> {
  return ((await files.changedAt(path)) ?? Infinity) < clock.now() - YOUNG_MS;
}

/** The path of an upload in the store, which may be a bucket. */
function pathOf(id: string): string {
  return `${UPLOADS}/${id}`;
}
