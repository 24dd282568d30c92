import type { Profile } from "./plan.ts";

/** A deliberate fault: texts of source files, and their replacements. */
export type Mutant = {
  name: string;
  /** The profile whose worlds must catch it. */
  profile: Profile;
  /** A seed that caught it in the last run. */
  caughtBy?: number;
  edits: [file: string, find: string, put: string][];
};

export const MUTANTS: Mutant[] = [
  {
    // Two nodes' claims rarely have the same number. If they do, only the owner distinguishes them.
    name: "settle what another node owns",
    profile: "fleet",
    caughtBy: 11,
    edits: [
      ["src/store/ended.ts", "+q.owner = ?", "? IS NOT NULL"],
      ["src/store/settle.ts", "q.claim = v.column2 AND +q.owner = ?", "? IS NOT NULL"],
      ["src/store/postpone.ts", "+q.owner = ? AND q.claim = r.value ->> 'c'", "? IS NOT NULL"],
    ],
  },
  {
    name: "settle a run whatever its claim",
    profile: "single",
    caughtBy: 5,
    edits: [
      ["src/store/settle.ts", "AND q.claim = v.column2 AND", "AND"],
      [
        "src/engine/in-flight.ts",
        "if (!runs.isNewest(run)) continue;",
        "if (!runs.has(run)) continue;",
      ],
    ],
  },
  {
    name: "settle a task twice in one unit",
    profile: "single",
    caughtBy: 70,
    edits: [
      [
        "src/engine/in-flight.ts",
        "if (!runs.isNewest(run)) continue;",
        "if (!runs.has(run)) continue;",
      ],
    ],
  },
  {
    name: "leave a cancelled run in the queue",
    profile: "single",
    caughtBy: 1,
    edits: [
      [
        "src/store/cancel.ts",
        "DELETE FROM queue WHERE task IN",
        "DELETE FROM queue WHERE task < 0 AND task IN",
      ],
    ],
  },
  {
    name: "revive tasks of every generation",
    profile: "single",
    caughtBy: 20,
    edits: [["src/store/generations.ts", "t.generation < b.generation AND", "TRUE AND"]],
  },
  {
    name: "end a batch whose last calls are under way",
    profile: "single",
    caughtBy: 1,
    edits: [
      [
        "src/store/counters.ts",
        "AND completed + failed + cancelled >= total",
        "AND completed + failed + cancelled + running >= total",
      ],
    ],
  },
  {
    name: "run tasks of a batch that was deleted",
    profile: "fleet",
    caughtBy: 82,
    edits: [
      ["src/store/task-moves.ts", "b.status <> 'ingesting'", "b.seq IS NOT NULL"],
      ["src/store/batch-moves.ts", "DELETE FROM queue WHERE", "DELETE FROM queue WHERE FALSE AND"],
    ],
  },
  {
    name: "leave the claims of nodes that are gone",
    profile: "fleet",
    caughtBy: 10,
    edits: [["src/store/nodes.ts", "q.owner NOT IN (SELECT seq FROM nodes)", "q.owner < 0"]],
  },
  {
    name: "judge other nodes by the lease of this one",
    profile: "fleet",
    caughtBy: 27,
    edits: [["src/store/nodes.ts", '"coalesce(lease_ms, ?)"', '"coalesce(NULL, ?)"']],
  },
  {
    name: "never give back a claim that nobody knows of",
    profile: "fleet",
    caughtBy: 53,
    edits: [["src/engine/claiming.ts", "released: compares ?", "released: compares && next < 0 ?"]],
  },
  {
    name: "give up what the database refuses for another attempt of the whole",
    profile: "fleet",
    caughtBy: 11,
    edits: [
      ["src/engine/settlement.ts", 'fateOf(error) !== "refused"', "fateOf(error) !== undefined"],
    ],
  },
  {
    name: "hide a call behind a later one of its task",
    profile: "fleet",
    caughtBy: 115,
    edits: [["src/engine/worker-pool.ts", "supersede(calls.map(({ task }) => task));", ""]],
  },
  {
    name: "forget who waits for the answer to the same request",
    profile: "single",
    caughtBy: 294,
    edits: [["src/engine/reuse.ts", "return putBack(group.followers);", "return [];"]],
  },
  {
    name: "pace and retry by the wall clock",
    profile: "single",
    caughtBy: 278,
    edits: [
      ["src/engine/dispatcher.ts", "ctx.clock.steady()", "ctx.clock.now()"],
      ["src/engine/pacing.ts", "clock.steady()", "clock.now()"],
      ["src/engine/upstreams.ts", "ctx.clock.steady()", "ctx.clock.now()"],
    ],
  },
  {
    name: "retry what is refused for good",
    profile: "single",
    caughtBy: 13,
    edits: [
      ["src/domain/failure.ts", "if (!CAUSES[failure.cause].retryable || failures", "if (failures"],
    ],
  },
  {
    name: "leave cancelled batches to those who cancelled them",
    profile: "single",
    caughtBy: 111,
    edits: [["src/upkeep/upkeep.ts", "      sweepAll(ctx),", "      Promise.resolve(sweepAll),"]],
  },
  {
    name: "hand out events again that were handed out",
    profile: "fleet",
    caughtBy: 33,
    edits: [["src/services/event-hub.ts", "page.filter(({ id }) => id > position)", "page"]],
  },
  {
    name: "leave an event out of what webhooks get",
    profile: "single",
    caughtBy: 2,
    edits: [
      [
        "src/courier/fan-out.ts",
        "return row ? [{ endpoint, row }] : [];",
        "return row && event.id % 20 > 0 ? [{ endpoint, row }] : [];",
      ],
    ],
  },
  {
    name: "take any answer of a webhook for a delivery",
    profile: "single",
    caughtBy: 23,
    edits: [
      [
        "src/store/deliveries.ts",
        'attempt.isDelivered ? "delivered"',
        'attempt.status !== null ? "delivered"',
      ],
    ],
  },
  {
    name: "fire a schedule on every node",
    profile: "fleet",
    caughtBy: 20,
    edits: [
      [
        "src/store/schedules.ts",
        "revision = ? AND next_run IS ?",
        "(revision = ? OR next_run IS ? OR TRUE)",
      ],
      [
        "drizzle/0000_initial.sql",
        "CREATE UNIQUE INDEX `schedule_runs_by_fire`",
        "CREATE INDEX `schedule_runs_by_fire`",
      ],
    ],
  },
  {
    name: "spend without regard to the cap",
    profile: "single",
    caughtBy: 17,
    edits: [
      [
        "src/store/room.ts",
        "WHEN b.max_cost_usd IS NULL THEN ${NO_LIMIT}",
        "WHEN TRUE THEN ${NO_LIMIT}",
      ],
    ],
  },
  {
    name: "leave no room in a cap for calls under way",
    profile: "single",
    caughtBy: 69,
    edits: [["src/store/room.ts", "AS INTEGER) - b.running", "AS INTEGER)"]],
  },
  {
    name: "let single tasks pass by the cap of their batch",
    profile: "single",
    caughtBy: 17,
    edits: [
      [
        "src/store/room.ts",
        "WHERE b.seq = ${batch} AND b.max_cost_usd IS NOT NULL",
        "WHERE b.seq < 0",
      ],
    ],
  },
  {
    name: "reserve nothing of a budget",
    profile: "single",
    caughtBy: 184,
    edits: [
      ["src/store/room.ts", "WHERE payer = k.seq AND owner IS NOT NULL AND", "WHERE payer < 0 AND"],
    ],
  },
  {
    name: "charge the key that made a task",
    profile: "single",
    caughtBy: 171,
    edits: [["src/store/settle.ts", "SELECT q.payer, ?, count(*)", "SELECT 1, ?, count(*)"]],
  },
  {
    name: "forget what attempts cost that came to nothing",
    profile: "single",
    caughtBy: 30,
    edits: [["src/store/postpone.ts", "cost_usd = batches.cost_usd + failed_now.usd,", ""]],
  },
  {
    name: "forget that an earlier attempt had an unknown cost",
    profile: "single",
    caughtBy: 17,
    edits: [
      [
        "src/store/postpone.ts",
        "earlier_unpriced = earlier_unpriced + ${LATER_IS_UNPRICED}",
        "earlier_unpriced = earlier_unpriced",
      ],
    ],
  },
  {
    name: "let a budget pay for unknown costs",
    profile: "single",
    caughtBy: 86,
    edits: [["src/store/room.ts", "AND u.unpriced > 0", "AND u.unpriced < 0"]],
  },
  {
    name: "let each node start as many of a batch as all of them may",
    profile: "fleet",
    caughtBy: 16,
    edits: [["src/store/take.ts", "coalesce(b.max_concurrency, 1000000) - b.running", "1000000"]],
  },
  {
    name: "take no notice of the calls under way",
    profile: "single",
    caughtBy: 9,
    edits: [["src/domain/share.ts", "total += sharer.inFlight;", ""]],
  },
  {
    name: "take every answer for one that matches its schema",
    profile: "single",
    caughtBy: 1,
    edits: [
      [
        "src/engine/checking.ts",
        "mismatch ? mismatched(called, text, mismatch) : called",
        "mismatch ? called : called",
      ],
    ],
  },
  {
    name: "repair without end",
    profile: "single",
    caughtBy: 13,
    edits: [["src/store/postpone.ts", "repairs + (later.next IS 'repair')", "repairs"]],
  },
  {
    name: "charge an answer again when its repair has ended",
    profile: "single",
    caughtBy: 6,
    edits: [["src/store/spent.ts", " - ${earlier(amount)})", ")"]],
  },
  {
    name: "begin a repair whose row is gone",
    profile: "fleet",
    caughtBy: 189,
    edits: [
      [
        "src/engine/texts.ts",
        "if (!row || row.piece === null) return null;",
        "if (!row || row.piece === null) return text;",
      ],
      ["src/domain/ask-for-json.ts", "parseJson(stored);", "JSON.parse(stored);"],
    ],
  },
  {
    name: "leave chains to nodes that are gone",
    profile: "fleet",
    caughtBy: 12,
    edits: [
      ["src/store/chains.ts", "w.chain_owner NOT IN (SELECT seq FROM nodes)", "w.chain_owner < 0"],
    ],
  },
  {
    name: "forget that a batch which waits is to start",
    profile: "single",
    caughtBy: 33,
    edits: [["src/store/chains.ts", "total > 0 AND payer IS NOT NULL", "total > 0 AND payer < 0"]],
  },
  {
    name: "run skipped rows again with their batch",
    profile: "single",
    caughtBy: 98,
    edits: [["src/store/generations.ts", " AND NOT t.is_skipped", ""]],
  },
  {
    name: "wait for the flex tier by the wall clock",
    profile: "single",
    caughtBy: 398,
    edits: [
      ["src/services/time.ts", "steadyNow: sharedSteadyNow(ctx) }", "steadyNow: ctx.clock.now() }"],
      ["src/services/tasks.ts", "steadyNow: sharedSteadyNow(ctx)", "steadyNow: ctx.clock.now()"],
    ],
  },
  {
    name: "keep what a dead process has reserved for live calls",
    profile: "fleet",
    caughtBy: 46,
    edits: [["src/engine/recovery.ts", "reserved: endForsaken(),", ""]],
  },
  {
    name: "charge nobody for live calls",
    profile: "single",
    caughtBy: 15,
    edits: [
      ["src/store/live-calls.ts", "used: addUsage(tallies, now),", "used: addUsage([], now),"],
    ],
  },
  {
    name: "forget which idempotency keys were used",
    profile: "single",
    caughtBy: 51,
    edits: [
      [
        "src/store/new-task.ts",
        "task.idempotency ? keepIdempotencyKey(",
        "task.idempotency && now < 0 ? keepIdempotencyKey(",
      ],
    ],
  },
  {
    name: "retry nearly without end",
    profile: "single",
    caughtBy: 3,
    edits: [
      [
        "src/domain/failure.ts",
        "failures > policy.maxRetries",
        "failures > policy.maxRetries + 50",
      ],
    ],
  },
  {
    name: "send an event under another id at each attempt",
    profile: "single",
    caughtBy: 23,
    edits: [
      [
        "src/services/webhook-message.ts",
        "{ event: number | null; at: number },",
        "{ event: number | null; at: number; attempts?: number },",
      ],
      ["src/services/webhook-message.ts", "{ event, at }:", "{ event, at, attempts = 0 }:"],
      [
        "src/services/webhook-message.ts",
        "`test-${at}`}`",
        '`test-${at}`}${attempts === 0 ? "" : `-${attempts}`}`',
      ],
    ],
  },
  {
    name: "remember drafts that were published",
    profile: "single",
    caughtBy: 2,
    edits: [
      [
        "src/services/create-batch.ts",
        "ctx.drafts.delete(batch.draft)",
        "ctx.drafts.has(batch.draft)",
      ],
    ],
  },
  {
    name: "count live calls again if the answer to their commit is lost",
    profile: "fleet",
    caughtBy: 213,
    edits: [
      [
        "src/store/live-calls.ts",
        "iif(number < excluded.number, excluded.number, NULL)",
        "max(number, excluded.number)",
      ],
    ],
  },
  {
    name: "keep reservations that belong to no call",
    profile: "fleet",
    caughtBy: 117,
    edits: [["src/engine/live/books.ts", "if (lost.length > 0)", "if (lost.length < 0)"]],
  },
  {
    name: "begin what was claimed before the lease lapsed",
    profile: "fleet",
    caughtBy: 1998,
    edits: [["src/engine/claiming.ts", " || !options.isAlive(sent.at)", ""]],
  },
  {
    name: "leave what was written of a refused batch",
    profile: "fleet",
    caughtBy: 38,
    edits: [["src/services/ingest.ts", "if (!isWhole) await writer.discard();", ""]],
  },
  {
    name: "send live calls without a reservation",
    profile: "single",
    caughtBy: 61,
    edits: [["src/engine/live/reserving.ts", "if (dear.length === 0)", "if (dear.length >= 0)"]],
  },
];
