import process from "node:process";

import { Command } from "@commander-js/extra-typings";

import { makeBackup } from "../backup/backup.ts";
import { restoreBackup } from "../backup/restore.ts";
import { readConfig } from "../config.ts";
import { createSystemClock } from "../lib/clock.ts";
import { createSystemRandom } from "../lib/random.ts";
import { withDatabase } from "./database.ts";
import { EXIT_HELP, report } from "./outcome.ts";

export function backupCommand() {
  return new Command("backup")
    .description(
      "Copy the database and the files folder of the environment (DATA_DIR, FILES_DIR, DATABASE_URL) into a new folder, while the server runs.",
    )
    .argument("<folder>", "the folder to create; if it exists, it must be empty")
    .option("--json", "print what was done as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((folder, { json = false }) => report(json, () => backup(folder)));
}

async function backup(folder: string) {
  const clock = createSystemClock();
  const began = clock.monotonic();
  const manifest = await withDatabase({ isLocking: false }, ({ config, database }) =>
    makeBackup({ config, database, folder, clock }),
  );
  const { database, files, skipped, missingUploads, bucket } = manifest;
  const seconds = Math.round((clock.monotonic() - began) / 100) / 10;
  const fileBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const notes = [
    ...(bucket === null
      ? []
      : [
          `Files in ${bucket} are not copied. Keep earlier versions of its objects, or copy it by the tools of its provider.`,
        ]),
    ...skipped.map(({ path, why }) => `Left out: ${path}, which ${why}.`),
    ...missingUploads.map((id) => `The bytes of upload ${id} were not in the files folder.`),
  ];
  return {
    text: [
      `Backup of ${manifest.createdAt} in ${folder}: database ${toMegabytes(database.bytes)}, ${files.length} files ${toMegabytes(fileBytes)}, checked, ${seconds} s.`,
      ...notes.slice(0, MOST_NOTES),
      ...(notes.length > MOST_NOTES
        ? [`(and ${notes.length - MOST_NOTES} more; see manifest.json)`]
        : []),
    ].join("\n"),
    json: {
      folder,
      createdAt: manifest.createdAt,
      databaseBytes: database.bytes,
      files: files.length,
      fileBytes,
      skipped,
      missingUploads,
      bucket,
      seconds,
    },
  };
}

const MOST_NOTES = 20;

export function restoreCommand() {
  return new Command("restore")
    .description(
      "Put a backup back where the environment says that database and files are. The server must be stopped, and the database moved away or new.",
    )
    .argument("<folder>", "the folder that `backup` made")
    .option(
      "--pause",
      "pause batches that ran, and stop schedules and webhooks, until a person starts them again",
    )
    .option("--json", "print what was done as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((folder, { json = false, pause = false }) =>
      report(json, () => restore(folder, pause)),
    );
}

async function restore(folder: string, isPaused: boolean) {
  const { manifest, where, goesOn } = await restoreBackup({
    config: readConfig(process.env),
    folder,
    isPaused,
    clock: createSystemClock(),
    random: createSystemRandom(),
  });
  const { batches, singles, schedules, webhooks } = goesOn;
  const rest = `${batches} batches, ${schedules} schedules and ${webhooks} webhooks`;
  return {
    text: [
      `Restored the backup of ${manifest.createdAt} to ${where}, with ${manifest.files.length} files.`,
      isPaused
        ? `Paused: ${rest}. ${singles} single tasks that were executed before the backup run with the next start.`
        : `The next start continues: ${rest}, ${singles} single tasks. Work that ended since the backup is unknown and is done again.`,
    ].join("\n"),
    json: { where, createdAt: manifest.createdAt, files: manifest.files.length, isPaused, goesOn },
  };
}

function toMegabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
