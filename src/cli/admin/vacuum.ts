import { dirname } from "node:path";

import { Command } from "@commander-js/extra-typings";

import { missingSpace, sizeOfDatabase } from "../../db/snapshot.ts";
import { Refused, StartError } from "../../lib/start-error.ts";
import { requireUnused, withDatabase } from "../database.ts";
import { EXIT_HELP, report } from "../outcome.ts";

export function vacuumCommand() {
  return new Command("vacuum")
    .description(
      "Rewrite the file of the database without gaps, so that it takes the least space. This temporarily needs twice its size of free disk, and the server must be stopped.",
    )
    .option("--force", "also while a server has it open, whose requests wait or fail meanwhile")
    .option("--json", "print what was done as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false, force = false }) => report(json, () => vacuum(force)));
}

async function vacuum(isForced: boolean) {
  return withDatabase({ isLocking: true }, async (operator) => {
    const { database } = operator;
    if (database.path === undefined)
      throw new Refused(
        "A libSQL server takes no VACUUM. `backup`, and `restore` into a new database, have the same effect.",
      );
    if (!isForced)
      requireUnused(operator, "Stop it, or use --force: its requests wait or fail meanwhile.");
    const before = await sizeOfDatabase(database.client);
    // For the new file, and for the write-ahead log of its copy over the old one.
    const lacking = missingSpace(dirname(database.path), 2 * before);
    if (lacking > 0)
      throw new StartError(
        `The disk has too little room: ${Math.ceil(lacking / 1_000_000)} MB more are needed.`,
      );
    // Files of earlier versions shrink by themselves only after they were rewritten with this setting.
    await database.client.execute("PRAGMA auto_vacuum = INCREMENTAL");
    await database.client.execute("VACUUM");
    await database.client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    const after = await sizeOfDatabase(database.client);
    return {
      text: `The database took ${before} bytes and takes ${after}.`,
      json: { bytesBefore: before, bytes: after },
    };
  });
}
