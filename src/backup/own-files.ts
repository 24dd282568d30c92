import { join } from "node:path";

import type { Config } from "../config.ts";
import { STORE_ID, UPLOADS } from "../lib/file-store.ts";
import { filePathOf } from "../lib/urls.ts";
import { TIMELINE_FILE } from "../services/timeline.ts";

/**
 * Whether a path belongs to the database or to the server itself, whose files may be in the files folder, too. The id of
 * the folder is not that of another folder to which a backup is restored.
 */
export function isOfProgram({
  databaseUrl,
  dataDir,
  filesDir,
}: Pick<Config, "databaseUrl" | "dataDir" | "filesDir">): (path: string) => boolean {
  const database = filePathOf(databaseUrl);
  const timeline = join(dataDir, TIMELINE_FILE);
  const storeId = join(filesDir, UPLOADS, STORE_ID);
  return (path) =>
    path === timeline || path === storeId || (database !== undefined && path.startsWith(database));
}
