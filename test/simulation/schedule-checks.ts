import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { nextFire } from "../../src/domain/cron.ts";

type Fire = { schedule: number; at: number; expression: string; cause: string };

/**
 * Checks that a schedule fires once for each of its times: no time has two runs. If no clock jumped and nobody changed the
 * schedule, no time was skipped.
 */
export async function checkSchedules(
  truth: Client,
  { isSteady, complain }: { isSteady: boolean; complain: (what: string) => void },
): Promise<void> {
  const found = await truth.execute(
    `SELECT r.schedule, r.scheduled_at AS at, s.expression, r.cause
     FROM schedule_runs r JOIN schedules s ON s.seq = r.schedule
     WHERE r.cause <> 'manual' ORDER BY r.schedule, r.scheduled_at`,
  );
  let before: Fire | undefined;
  for (const fire of rowsOf<Fire>(found)) {
    const last = before?.schedule === fire.schedule ? before : undefined;
    before = fire;
    if (!last) continue;
    if (last.at === fire.at)
      complain(`schedule ${fire.schedule} fired twice for ${new Date(fire.at).toISOString()}`);
    const expected = nextFire({ expression: fire.expression, timezone: "UTC" }, last.at);
    if (isSteady && expected !== null && expected < fire.at)
      complain(`schedule ${fire.schedule} did not fire at ${new Date(expected).toISOString()}`);
  }
}
