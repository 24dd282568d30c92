import type { Chunks } from "../../src/domain/chunks.ts";
import { type DatabaseFaults, NO_DATABASE_FAULTS } from "./database.ts";
import type { ClockFaults } from "./node-clock.ts";
import type { NodeConfig } from "./node.ts";
import { type Flag, FLAGS, type Mood, MOODS } from "./provider.ts";
import { createLuck, type Luck } from "./random.ts";
import { RECEIVER_MOODS, type ReceiverMood } from "./receiver.ts";
import { withScene } from "./scenes.ts";

/** `single`: one process on a file. `fleet`: two or three on a libSQL server. */
export const PROFILES = ["single", "fleet"] as const;
export type Profile = (typeof PROFILES)[number];

/** Something that goes wrong at a moment. */
export type Fault = { at: number } & (
  | { kind: "kill"; node: number; downMs: number }
  | { kind: "stop"; node: number; downMs: number }
  | { kind: "pause"; node: number; ms: number }
  | { kind: "jump"; node: number; ms: number }
  | { kind: "cut"; node: number; ms: number }
  | { kind: "thread"; node: number }
  | { kind: "database"; faults: DatabaseFaults; ms: number }
  | { kind: "provider"; mood: Mood; ms: number }
  | { kind: "receivers"; mood: ReceiverMood; ms: number }
);

/** What a client may do. */
const ACTIONS = [
  "create",
  "execute",
  "cancel",
  "cancel and execute",
  "change",
  "delete",
  "wait",
  "create batch",
  "execute batch",
  "dry run",
  "rehearse",
  "pause",
  "resume",
  "cancel batch",
  "cancel batch and crash",
  "retry",
  "delete batch",
  "change batch",
  "set budget",
  "schedule",
  "run schedule",
  "change schedule",
  "webhook",
  "watch",
] as const;
/** Further actions of clients in worlds whose rows come from other batches, reuse their answers, or are skipped. */
const ROW_ACTIONS = ["pilot", "chain", "pilot and execute"] as const;
/**
 * `repeat`: ask until there is an answer, under an idempotency key. `live`: call a provider and wait for the answer.
 * `send wrong`: create a batch of which a row is wrong.
 */
export type Action =
  | (typeof ACTIONS)[number]
  | (typeof ROW_ACTIONS)[number]
  | "repeat"
  | "live"
  | "send wrong";

export type ClientPlan = { seed: string; key: number; thinkMs: number };

/** `takesSchemas`: whether the provider supports schemas. `mismatches`: the share of answers that do not match. */
export type AnswerPlan = {
  maxRepairs: number;
  escalateTo: string | undefined;
  takesSchemas: boolean;
  mismatches: number;
};

/** `deadlineMs`: how long runs wait for the flex tier. `room`: the chance that the provider has room. */
export type FlexPlan = { deadlineMs: number; room: number };

/** `alike`: rows of different batches have equal requests. `bases`: batches reuse answers. `skips`: a condition skips some rows. */
type RowPlan = {
  alike: boolean;
  bases: boolean;
  skips: boolean;
  /** Nodes are often killed, and tasks executed again, while a node makes the rows of a batch that waited for another. */
  disturbs: boolean;
};

/** A world before it begins. All random choices about the world are made; its parts make their own later. */
export type Plan = {
  seed: string;
  profile: Profile;
  /** The time in which faults and clients are active. After it, faults stop and open work ends. */
  activeMs: number;
  nodes: { clock: ClockFaults; config: NodeConfig }[];
  latencyMs: number;
  clients: ClientPlan[];
  actions: Partial<Record<Action, number>>;
  flags: Flag[];
  /** Tasks of a batch, at most. */
  batchSize: number;
  chunks: Chunks;
  faults: Fault[];
  /** A client cancels tasks, and executes them again, as soon as their call is answered. */
  isPursued: boolean;
  /** Threads die that make two calls of one task. */
  isHunted: boolean;
  /** All readers of events leave and return all the time. */
  isRestless: boolean;
  /** Many requests are equal to others, and may reuse their answers. */
  isRepetitive: boolean;
  /** How the answers to most requests are checked; `null` in worlds without checks of answers. */
  answers: AnswerPlan | null;
  /** How batches are made from rows of other batches; `null` in worlds without such batches. */
  rows: RowPlan | null;
  /** Some batches are lines for an endpoint whose answers often have no usage, so that their cost is unknown. */
  decides: boolean;
  /** How requests use the flex tier; `null` in worlds without it. */
  flex: FlexPlan | null;
  /** The mean time of a commit to a local file, and of a long read, which have threads; `null` if they take no time. */
  threadsMs: number | null;
  /** The budgets with which keys begin in worlds with live calls; `null` in worlds without them. */
  live: { budgetUsd: number } | null;
  /** Dead nodes stay dead after faults have stopped, if another one lives. */
  leavesDead: boolean;
};

const HOUR_MS = 3_600_000;
const FAR_MS = 600_000;

/**
 * The plan of a seed. Each world has only some of the actions, flags and faults ("swarm testing", Groce et al. 2012),
 * because a combination that is rare among all of them is common among a few.
 */
export function planOf(seed: string, profile: Profile): Plan {
  const luck = createLuck(`${profile}/${seed}`);
  // With this number, the seeds of corpus.txt still have the histories for which they were kept.
  return withScene(randomPlan(luck, seed, profile), luck.fork("scene 5725"));
}

function randomPlan(luck: Luck, seed: string, profile: Profile): Plan {
  const activeMs = luck.int(3000, 9000);
  const count = profile === "single" ? 1 : luck.int(2, 3);
  const nodes = Array.from({ length: count }, (_, i) => nodeOf(luck, profile, i));
  const clients = Array.from({ length: luck.int(1, 4) }, (_, i): ClientPlan => ({
    seed: `${profile}/${seed}/client ${i}`,
    key: luck.int(0, 1),
    thinkMs: luck.pick([30, 100, 400]),
  }));
  // With this number, the seeds of corpus.txt still have the histories for which they were kept.
  const rows = rowsOf(luck.fork("rows 34693"));
  const decides = luck.fork("decisions 14631").chance(0.15);
  const more = moreOf(luck.fork(`more ${MORE[profile]}`), profile);
  return {
    seed,
    profile,
    activeMs,
    nodes,
    latencyMs: luck.pick([0.5, 2, 10, 100]),
    clients,
    actions: {
      ...actionsOf(luck),
      ...(rows ? rowActionsOf(luck.fork("row actions")) : {}),
      ...(decides ? { "create batch": 3, "set budget": 1 } : {}),
      ...more.actions,
    },
    rows,
    decides,
    flags: FLAGS.filter(() => luck.chance(0.25)),
    batchSize: Number(luck.weighted({ 4: 5, 25: 4, 60: 2, 300: luck.chance(0.2) ? 1 : 0 })),
    chunks: chunksOf(luck),
    faults: faultsOf(luck, profile, activeMs, count),
    leavesDead: luck.chance(0.5),
    isRepetitive: luck.fork("twins").chance(0.2),
    answers: answersOf(luck.fork("answers")),
    flex: flexOf(luck.fork("flex")),
    threadsMs: more.threadsMs,
    live: more.live,
    isPursued: luck.fork("haste").chance(0.25),
    isHunted: false,
    isRestless: false,
  };
}

/** Mostly small numbers, so that there are many commits in which a fault may occur. */
function chunksOf(luck: Luck): Chunks {
  const some = () => luck.pick([1, 3, 10, 1000]);
  const bytes = luck.fork("bytes");
  return {
    sweep: some(),
    feed: some(),
    ingest: some(),
    flushBytes: bytes.pick([500, 5000, 30_000]),
    answerBytes: bytes.pick([100, 2000, 40_000]),
    rowBytes: Infinity,
  };
}

function nodeOf(luck: Luck, profile: Profile, index: number): Plan["nodes"][number] {
  const isSkewed = profile === "fleet" && luck.chance(0.5);
  // A clock that nobody has set for a long time.
  const far = luck.fork(`far clock ${index}`);
  const isFar = profile === "fleet" && far.chance(0.15);
  return {
    clock: {
      offsetMs:
        (isSkewed ? luck.int(-10_000, 10_000) : 0) + (isFar ? far.pick([-1, 1]) * FAR_MS : 0),
      drift: luck.chance(0.2) ? (luck.next() - 0.5) / 100 : 0,
    },
    config: {
      maxConcurrency: luck.pick([2, 8, 64]),
      maxRetries: luck.int(0, 3),
      leaseMs: luck.pick([2000, 6000]),
      role: profile === "fleet" && index === 0 && luck.chance(0.5) ? "api" : "all",
      requestTimeoutMs: luck.pick([2000, 8000]),
    },
  };
}

function answersOf(luck: Luck): AnswerPlan | null {
  if (!luck.chance(0.4)) return null;
  return {
    maxRepairs: luck.int(0, 2),
    escalateTo: luck.chance(0.5) ? "gpt-4o" : undefined,
    takesSchemas: luck.chance(0.6),
    mismatches: luck.pick([0.2, 0.6, 0.95]),
  };
}

function flexOf(luck: Luck): FlexPlan | null {
  if (!luck.chance(0.15)) return null;
  return { deadlineMs: luck.pick([200, 2000, HOUR_MS]), room: luck.pick([0.1, 0.5, 0.9]) };
}

/** What came into worlds last. With these numbers, the seeds of corpus.txt still have the histories for which they were kept. */
const MORE = { single: 29_360, fleet: 23 };

function moreOf(luck: Luck, profile: Profile): Pick<Plan, "threadsMs" | "live" | "actions"> {
  if (!luck.chance(0.3)) return { threadsMs: null, live: null, actions: {} };
  const hasThreads = profile === "single" && luck.chance(0.6);
  const isLive = luck.chance(0.5);
  return {
    threadsMs: hasThreads ? luck.pick([0.3, 3, 30]) : null,
    live: isLive ? { budgetUsd: luck.int(1, 12) } : null,
    actions: {
      ...(isLive ? { live: luck.int(2, 8) } : {}),
      ...(luck.chance(0.6) ? { repeat: luck.int(1, 4) } : {}),
    },
  };
}

function actionsOf(luck: Luck): Plan["actions"] {
  const basic: Plan["actions"] = { create: 4, execute: 3, "create batch": 1, "execute batch": 2 };
  const chosen = ACTIONS.filter(() => luck.chance(0.45)).map((action) => [action, luck.int(1, 4)]);
  return { ...basic, ...(Object.fromEntries(chosen) as Plan["actions"]) };
}

function rowsOf(luck: Luck): RowPlan | null {
  if (!luck.chance(0.3)) return null;
  return {
    alike: luck.chance(0.4),
    bases: luck.chance(0.5),
    skips: luck.chance(0.4),
    disturbs: luck.chance(0.5),
  };
}

function rowActionsOf(luck: Luck): Plan["actions"] {
  const chosen = ROW_ACTIONS.filter((action) => action === "chain" || luck.chance(0.5));
  return Object.fromEntries(chosen.map((action) => [action, luck.int(1, 5)])) as Plan["actions"];
}

function faultsOf(luck: Luck, profile: Profile, activeMs: number, nodes: number): Fault[] {
  const kinds = (
    ["kill", "stop", "pause", "jump", "cut", "thread", "database", "provider", "receivers"] as const
  ).filter(
    (kind) => luck.chance(0.35) && (profile === "fleet" || (kind !== "cut" && kind !== "pause")),
  );
  if (kinds.length === 0) return [];
  const faults = Array.from({ length: luck.int(1, 10) }, (): Fault => {
    const at = luck.int(0, activeMs);
    const node = luck.int(0, nodes - 1);
    const kind = luck.pick(kinds as [(typeof kinds)[number], ...typeof kinds]);
    switch (kind) {
      case "kill":
      case "stop":
        return { at, kind, node, downMs: Math.round(luck.about(1500)) };
      case "pause":
        return { at, kind, node, ms: luck.pick([200, 3000, 9000]) };
      case "jump":
        return { at, kind, node, ms: luck.pick([-HOUR_MS, -10_000, -500, 500, 10_000, HOUR_MS]) };
      case "cut":
        return { at, kind, node, ms: Math.round(luck.about(1500)) };
      case "thread":
        return { at, kind, node };
      case "database":
        return { at, kind, faults: databaseFaults(luck), ms: Math.round(luck.about(2000)) };
      case "provider":
        return { at, kind, mood: luck.pick(MOODS), ms: Math.round(luck.about(3000)) };
      case "receivers":
        return { at, kind, mood: luck.pick(RECEIVER_MOODS), ms: Math.round(luck.about(3000)) };
    }
  });
  return faults.toSorted((a, b) => a.at - b.at);
}

function databaseFaults(luck: Luck): DatabaseFaults {
  const faults = { ...NO_DATABASE_FAULTS };
  const names = Object.keys(faults) as (keyof DatabaseFaults)[];
  for (const name of names) if (luck.chance(0.4)) faults[name] = luck.pick([0.02, 0.1, 0.19]);
  return faults;
}

export function isProfile(name: string): name is Profile {
  return (PROFILES as readonly string[]).includes(name);
}
