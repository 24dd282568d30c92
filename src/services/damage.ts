import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { clearAlert, raiseAlert } from "./alerts.ts";

/** Reports damage that was found in the database after the start. */
export function reportDamage(ctx: Context, checked: Promise<{ found: string } | undefined>): void {
  const log = getLogger(["gptrunner", "database"]);
  const report = checked.then(async (damage) => {
    // The check of a large file may end after the shutdown.
    if (ctx.client.closed) return;
    if (!damage) {
      await clearAlert(ctx, "database.damaged");
      return;
    }
    log.error("The database file is damaged: {found}", damage);
    await raiseAlert(ctx, {
      code: "database.damaged",
      message:
        "The database file is damaged; stop the server and restore a backup, or save what can be read with sqlite3's .recover",
    });
  });
  background(log, "The report of a damaged database", report);
}
