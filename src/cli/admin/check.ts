import { Command } from "@commander-js/extra-typings";

import type { Context } from "../../context.ts";
import { findFaults } from "../../db/snapshot.ts";
import { type Books, checkBooks, repairBooks } from "../../services/books.ts";
import { withContext } from "../database.ts";
import { EXIT } from "../failure.ts";
import { EXIT_HELP, report } from "../outcome.ts";

export function checkCommand() {
  return new Command("check")
    .description(
      "Read the whole database: whether the file is sound, and whether counters and sums agree with the rows that they count. Servers may run meanwhile.",
    )
    .option("--repair", "correct counters and sums that differ")
    .option("--json", "print what was found as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false, repair = false }) => report(json, () => check(repair)));
}

async function check(isRepairing: boolean) {
  return withContext({ isLocking: false }, async (ctx, { database }) => {
    const faults = await findFaults(database.slowClient);
    const rows = faults.length > 0 ? [] : await danglingRows(ctx);
    const { before, after } =
      isRepairing && faults.length === 0
        ? await repairBooks(ctx)
        : await checkBooks(ctx).then((books) => ({ before: books, after: books }));
    const left = linesOf(after).length;
    const isSound = faults.length === 0 && rows.length === 0 && left === 0;
    return {
      text: [
        faults.length === 0
          ? "The database is sound."
          : `THE DATABASE IS DAMAGED; restore a backup, or save what can be read with sqlite3's .recover:\n  ${faults.join("\n  ")}`,
        ...rows,
        ...(linesOf(before).length === 0
          ? ["All counters and sums agree with their rows."]
          : linesOf(before)),
        ...(isRepairing && linesOf(before).length > 0
          ? [
              left === 0
                ? "All of these were corrected."
                : `${left} still differ; report this, please.`,
            ]
          : []),
        ...(!isRepairing && left > 0 ? ["`admin check --repair` corrects them."] : []),
      ].join("\n"),
      json: {
        isSound,
        faults,
        danglingRows: rows,
        counters: before.counters,
        sums: before.sums,
        isRepaired: isRepairing && left === 0,
      },
      exit: isSound ? EXIT.done : EXIT.failed,
    };
  });
}

const MOST_ROWS = 20;

/** Rows that refer to missing rows. */
async function danglingRows({ client }: Context): Promise<string[]> {
  const { rows } = await client.execute(
    `SELECT "table", "parent", count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2 LIMIT ${MOST_ROWS}`,
  );
  return rows.map(
    (row) =>
      `${String(row["n"])} rows of ${String(row["table"])} refer to ${String(row["parent"])} that are not there.`,
  );
}

function linesOf({ counters, sums }: Books): string[] {
  return [
    ...counters.map(
      ({ batchId, counter, stored, counted }) =>
        `Batch ${batchId} counts ${stored} tasks as ${counter}; there are ${counted}.`,
    ),
    ...sums.map(
      ({ row, sum, stored, counted }) => `The ${sum} ${row} are ${counted}; ${stored} are stored.`,
    ),
  ];
}
