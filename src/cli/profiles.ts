import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

import { z } from "zod";

import { FILE_MODE, FOLDER_MODE } from "../lib/file-system.ts";
import { parseJson } from "../lib/json.ts";
import { usageError } from "./failure.ts";

const Profiles = z.record(z.string(), z.object({ server: z.string(), key: z.string() }));
export type Profiles = z.infer<typeof Profiles>;

/** The file with the profiles of this user: named servers with their keys. */
export function profilesPath(): string {
  const folder = process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  return join(folder, "gptrunner", "profiles.json");
}

export function readProfiles(): Profiles {
  const path = profilesPath();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw usageError(`The profiles in ${path} cannot be read: ${String(error)}`);
  }
  const read = Profiles.safeParse(parseJson(text));
  if (read.success) return read.data;
  throw usageError(`${path} does not hold profiles; mend it, or move it away`);
}

/** The file contains keys, so no other user may read it. */
export function writeProfiles(profiles: Profiles): void {
  const path = profilesPath();
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(profiles, null, 2)}\n`, { mode: FILE_MODE });
  chmodSync(temporary, FILE_MODE);
  renameSync(temporary, path);
}

export function findProfile(name: string): Profiles[string] {
  const profiles = readProfiles();
  const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (found) return found;
  const names = Object.keys(profiles);
  const known = names.length === 0 ? "there is none" : `there are ${names.join(", ")}`;
  throw usageError(`There is no profile ${name}: ${known}. \`profile add\` makes one`);
}
