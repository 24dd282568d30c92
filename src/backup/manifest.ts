import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { parseJson } from "../lib/json.ts";
import { PathError, resolveInside } from "../lib/paths.ts";
import { StartError } from "../lib/start-error.ts";
import { problemsIn } from "../lib/zod-issues.ts";

/** What a backup's folder holds. The manifest is written last. */
export const MANIFEST = "manifest.json";
export const DATABASE = "database.db";
export const FILES = "files";

const Content = { bytes: z.number().int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) };

const Copied = z.object({ path: z.string().min(1), ...Content });
/** A file of the files folder in a backup; `path` is relative to both. */
export type Copied = z.infer<typeof Copied>;

export const Manifest = z.object({
  format: z.literal(1),
  /** The version of the program that made it. */
  program: z.string(),
  createdAt: z.iso.datetime(),
  /** Whether the database was a local file or on a server. In the backup it is a file. */
  source: z.enum(["file", "server"]),
  /** Its newest migration. */
  schema: z.string(),
  database: z.object(Content),
  files: z.array(Copied),
  /** The parts of the files folder that are not in the backup, and why. */
  skipped: z.array(z.object({ path: z.string(), why: z.string() })),
  /** Uploads in the database without their bytes, which were not in the files folder. */
  missingUploads: z.array(z.string()),
  /** The bucket (`s3://bucket/prefix`) that holds uploads, inputs and outputs, which are not in the backup then. */
  bucket: z.string().nullable(),
});
export type Manifest = z.infer<typeof Manifest>;

/** Reads the manifest of a backup. Throws `StartError`. */
export function readManifest(folder: string): Manifest {
  const path = join(folder, MANIFEST);
  if (!existsSync(path))
    throw new StartError(
      `${folder} is not a backup: it has no ${MANIFEST}. (A backup that did not end is a folder with .partial behind its name.)`,
    );
  const parsed = Manifest.safeParse(parseJson(readFileSync(path, "utf8")));
  if (parsed.success) return parsed.data;
  throw new StartError(
    `${path} cannot be read; this version reads backups of format 1: ${problemsIn(parsed.error.issues)}`,
  );
}

/** Compares every byte of a backup with its manifest. Throws `StartError` with the first differences. */
export async function verifyBackup(folder: string, manifest: Manifest): Promise<void> {
  const problems: string[] = [];
  const compare = async (path: string, name: string, { bytes, sha256 }: Omit<Copied, "path">) => {
    const info = statSync(path, { throwIfNoEntry: false });
    if (!info?.isFile()) problems.push(`${name} is missing`);
    else if (info.size !== bytes)
      problems.push(`${name} has ${info.size} bytes instead of ${bytes}`);
    else if ((await hashFile(path)) !== sha256) problems.push(`${name} has other bytes`);
  };
  await compare(join(folder, DATABASE), DATABASE, manifest.database);
  for (const file of manifest.files) {
    if (problems.length >= MOST_PROBLEMS) break;
    await compare(placeOf(join(folder, FILES), file), `${FILES}/${file.path}`, file);
  }
  if (problems.length > 0)
    throw new StartError(
      `The backup in ${folder} is not what its ${MANIFEST} says: ${problems.join("; ")}. Take another one.`,
    );
}

const MOST_PROBLEMS = 5;

/** The path of a manifest's file below a folder. Throws `StartError` if it leads out of the folder. */
export function placeOf(root: string, { path }: Copied): string {
  try {
    return resolveInside(root, path);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    throw new StartError(`The manifest names ${JSON.stringify(path)}, which ${error.message}.`);
  }
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
