import { Command } from "@commander-js/extra-typings";

import { pruneHistory } from "../../services/retention.ts";
import { requireUnused, withContext } from "../database.ts";
import { wholeNumber } from "../numbers.ts";
import { EXIT_HELP, report } from "../outcome.ts";

const DAY_MS = 86_400_000;
const days = wholeNumber(1, 36_500);

type Ages = {
  events?: number | undefined;
  tasks?: number | undefined;
  files?: number | undefined;
  answers?: number | undefined;
};

export function pruneCommand() {
  return new Command("prune")
    .description(
      "Remove what is old, now and not within the hour, in small steps. Without options by the variables with RETENTION in their names. On a local file the server must be stopped.",
    )
    .option(
      "--events <days>",
      "events, ended deliveries, runs of schedules, idempotency keys",
      days,
    )
    .option("--tasks <days>", "batches and single tasks that have ended", days)
    .option("--files <days>", "uploads which no schedule reads", days)
    .option("--answers <days>", "answers that identical requests are given", days)
    .option("--json", "print what was done as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false, ...ages }) => report(json, () => prune(ages)));
}

async function prune({ events, tasks, files, answers }: Ages) {
  return withContext({ isLocking: true }, async (ctx, operator) => {
    // A server of a local file caches batches, so they must not be removed while it runs; on a shared database
    // servers read them again.
    if (operator.database.path !== undefined)
      requireUnused(
        operator,
        "It removes what is old by itself every hour; stop it, or lower RETENTION_DAYS.",
      );
    const { config } = ctx;
    const ms = (asked: number | undefined, configured: number) =>
      asked === undefined ? configured : asked * DAY_MS;
    const removed = await pruneHistory({
      ...ctx,
      config: {
        ...config,
        retentionMs: ms(events, config.retentionMs),
        taskRetentionMs: ms(tasks, config.taskRetentionMs),
        fileRetentionMs: ms(files, config.fileRetentionMs),
        cacheRetentionMs: ms(answers, config.cacheRetentionMs),
      },
    });
    const smaller =
      operator.database.path === undefined
        ? "`backup`, and `restore` into a new database, make the database smaller."
        : "`admin vacuum` makes the file of the database smaller.";
    return {
      text: `Removed ${removed} rows, tasks, batches and files. ${smaller}`,
      json: { removed },
    };
  });
}
