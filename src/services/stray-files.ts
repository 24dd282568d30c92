import { join, relative } from "node:path";

import type { Context } from "../context.ts";
import { UPLOAD_ID } from "../domain/upload-refs.ts";
import { UPLOADS } from "../lib/file-store.ts";
import { isTemporaryName } from "../lib/write-whole.ts";
import * as store from "../store/files.ts";
import { readRows } from "../store/rows.ts";

/** A file in the files folder that belongs to nothing. */
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
    stray.push({ path, why: "was not written to its end" });
  const ids: string[] = [];
  for await (const name of ctx.files.namesIn(uploadsOf(ctx)))
    if (UPLOAD_ID.test(name)) ids.push(name);
  for (let i = 0; i < ids.length; i += AT_ONCE) {
    const some = ids.slice(i, i + AT_ONCE);
    for (const { id } of await readRows(ctx.client, store.unknownFiles(some)))
      if (await isOld(ctx, join(uploadsOf(ctx), id)))
        stray.push({
          path: join(uploadsOf(ctx), id),
          why: "is an upload that the database does not know",
        });
  }
  return {
    stray: stray.map(({ path, why }) => ({ path: relative(ctx.config.filesDir, path), why })),
    missing: await findMissing(ctx, new Set(ids)),
  };
}

/** Removes stray files, unless they have got a row meanwhile. Returns how many. */
export async function removeStrayFiles(ctx: Part, stray: readonly StrayFile[]): Promise<number> {
  let removed = 0;
  for (const { path } of stray) {
    const place = join(ctx.config.filesDir, path);
    const name = path.split("/").at(-1) ?? "";
    const isKnown =
      UPLOAD_ID.test(name) && (await readRows(ctx.client, store.unknownFiles([name]))).length === 0;
    if (isKnown || !(await isOld(ctx, place))) continue;
    await ctx.files.remove(place);
    removed++;
  }
  return removed;
}

async function findMissing(ctx: Part, there: ReadonlySet<string>): Promise<StrayFiles["missing"]> {
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

function uploadsOf({ config }: Part): string {
  return join(config.filesDir, UPLOADS);
}
