import { Command } from "@commander-js/extra-typings";

import { findStrayFiles, removeStrayFiles } from "../../services/stray-files.ts";
import { withContext } from "../database.ts";
import { EXIT } from "../failure.ts";
import { EXIT_HELP, report } from "../outcome.ts";

export function filesCommand() {
  return new Command("files")
    .description(
      "List what lies in the files folder and belongs to nothing (uploads that the database does not know, files that were not written to their end; older than an hour), and uploads whose bytes are gone. Servers may run meanwhile.",
    )
    .option("--remove", "remove the files that belong to nothing")
    .option("--json", "print what was found as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false, remove = false }) => report(json, () => listFiles(remove)));
}

async function listFiles(isRemoving: boolean) {
  return withContext({ isLocking: false }, async (ctx) => {
    const { stray, missing } = await findStrayFiles(ctx);
    const removed = isRemoving ? await removeStrayFiles(ctx, stray) : 0;
    const lines = [
      ...stray.map(({ path, why }) => `${path} ${why}.`),
      ...missing.map(
        ({ id, name }) =>
          `The bytes of upload ${id} (${name}) are gone; delete it, or put them back.`,
      ),
    ];
    return {
      text: [
        ...(lines.length > 0
          ? lines
          : ["Every file belongs to something, and every upload has its bytes."]),
        ...(isRemoving && stray.length > 0 ? [`Removed ${removed} files.`] : []),
        ...(!isRemoving && stray.length > 0
          ? ["`admin files --remove` removes the files that belong to nothing."]
          : []),
      ].join("\n"),
      json: { stray, missing, removed },
      exit: missing.length > 0 || stray.length > removed ? EXIT.failed : EXIT.done,
    };
  });
}
