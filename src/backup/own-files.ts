import { join } from "node:path";

import type { Config } from "../config.ts";
import { filePathOf } from "../lib/urls.ts";
import { TIMELINE_FILE } from "../services/timeline.ts";

/** Whether a path belongs to the database or to the server itself, whose files may be in the files folder, too. */
export function isOfProgram({
  databaseUrl,
  dataDir,
}: Pick<Config, "databaseUrl" | "dataDir">): (path: string) => boolean {
  const database = filePathOf(databaseUrl);
  const timeline = join(dataDir, TIMELINE_FILE);
  return (path) => path === timeline || (database !== undefined && path.startsWith(database));
}
