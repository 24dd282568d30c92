import { NO_DATABASE_FAULTS } from "./database.ts";
import type { Plan } from "./plan.ts";
import type { Luck } from "./random.ts";

const HOUR_MS = 3_600_000;
/** With this number, the seeds of corpus.txt still have the histories for which they were kept. */
const WRONG_INPUTS = 7;

/** Changes of a plan, so that several things coincide that hardly ever do in a random one. */
const SCENES: Record<string, { profiles: Plan["profile"][]; of: (plan: Plan) => Partial<Plan> }> = {
  // Tasks that were made pending again fail before the others of their batch are pending again.
  "interrupted sweeps": {
    profiles: ["single", "fleet"],
    of: ({ chunks, activeMs }) => ({
      chunks: { ...chunks, sweep: 1 },
      batchSize: 25,
      latencyMs: 0.5,
      flags: ["bad"],
      actions: { create: 1, "create batch": 2, "execute batch": 3, retry: 5 },
      faults: [
        {
          at: 500,
          kind: "database",
          faults: { ...NO_DATABASE_FAULTS, refuse: 0.15 },
          ms: activeMs,
        },
      ],
    }),
  },
  // Tasks are cancelled at one node and executed again while another still makes their first call.
  "claims that come back": {
    profiles: ["fleet"],
    of: ({ nodes, clients }) => ({
      nodes: nodes.map(({ clock, config }) => ({
        clock,
        config: { ...config, role: "all", requestTimeoutMs: 8000 },
      })),
      clients: clients.map((client) => ({ ...client, thinkMs: 30 })),
      actions: { create: 2, execute: 6, cancel: 6 },
      faults: [{ at: 0, kind: "provider", mood: "hanging", ms: 9000 }],
      isHunted: true,
    }),
  },
  // A node is cut off for less than its lease, and for longer than that of the others.
  "unequal leases": {
    profiles: ["fleet"],
    of: ({ nodes, activeMs }) => ({
      nodes: nodes.map(({ clock, config }, i) => ({
        clock,
        config: { ...config, role: "all", leaseMs: i === 0 ? 6000 : 2000 },
      })),
      latencyMs: 100,
      faults: [500, 5500]
        .filter((at) => at < activeMs)
        .map((at) => ({ at, kind: "cut", node: 0, ms: 3500 })),
    }),
  },
  // One key makes dear tasks and has a small budget, and another executes them.
  "others pay": {
    profiles: ["single", "fleet"],
    of: ({ seed, profile }) => ({
      clients: [0, 1].map((key) => ({ seed: `${profile}/${seed}/payer ${key}`, key, thinkMs: 30 })),
      flags: ["dear"],
      actions: { create: 4, execute: 6, "create batch": 1, "execute batch": 2, "set budget": 1 },
      latencyMs: 2,
      faults: [],
    }),
  },
  // Readers leave while a page of the log is read for them, and come back at once.
  "restless readers": {
    profiles: ["fleet"],
    of: ({ clients, activeMs }) => ({
      clients: clients.map((client) => ({ ...client, thinkMs: 30 })),
      actions: { watch: 4, create: 3, execute: 3, "create batch": 2, "execute batch": 4 },
      latencyMs: 2,
      batchSize: 25,
      faults: [
        { at: 0, kind: "database", faults: { ...NO_DATABASE_FAULTS, slow: 0.6 }, ms: activeMs },
      ],
      isRestless: true,
    }),
  },
  // Runs wait for the flex tier while the wall clock is put forward and back.
  "flex under a clock that jumps": {
    profiles: ["single", "fleet"],
    of: ({ activeMs, nodes }) => ({
      flex: { deadlineMs: 2000, room: 0 },
      isRepetitive: false,
      actions: { create: 1 },
      faults: [HOUR_MS, -HOUR_MS, -HOUR_MS, HOUR_MS].flatMap((ms, i) =>
        nodes.map((_, node) => ({
          at: ((i + 0.5) * activeMs) / 4,
          kind: "jump" as const,
          node,
          ms,
        })),
      ),
    }),
  },
  // Nodes stand still while the answers to their claims are under way, for longer than their lease.
  "claims of nodes that were declared dead": {
    profiles: ["fleet"],
    of: ({ nodes, clients, activeMs }) => ({
      nodes: nodes.map(({ clock, config }) => ({
        clock,
        config: { ...config, role: "all", leaseMs: 2000 },
      })),
      clients: clients.map((client) => ({ ...client, thinkMs: 30 })),
      actions: { create: 4, execute: 4, "create batch": 1, "execute batch": 2 },
      latencyMs: 10,
      faults: [
        { at: 0, kind: "database", faults: { ...NO_DATABASE_FAULTS, slow: 0.9 }, ms: activeMs },
        ...nodes.map((_, node) => ({
          at: 500 + 2200 * node,
          kind: "pause" as const,
          node,
          ms: 5000,
        })),
      ],
    }),
  },
  // The commits of live calls take effect, and their answers are lost.
  "lost answers": {
    profiles: ["fleet"],
    of: ({ activeMs }) => ({
      live: { budgetUsd: 12 },
      actions: { live: 5, create: 1 },
      faults: [
        {
          at: 0,
          kind: "database",
          faults: { ...NO_DATABASE_FAULTS, loseReply: 0.2, late: 0.05 },
          ms: activeMs,
        },
      ],
    }),
  },
};

/** Batches are refused because of a row that is read after others were written, among database faults and kills. */
const wrongInputs = ({ chunks, clients }: Plan): Partial<Plan> => ({
  chunks: { ...chunks, ingest: 3 },
  clients: clients.map((client) => ({ ...client, thinkMs: 30 })),
  actions: { "send wrong": 4, "create batch": 2, "execute batch": 2 },
});

/** Makes a scene of a few plans, chosen by `luck`. */
export function withScene(plan: Plan, luck: Luck): Plan {
  for (const { profiles, of } of Object.values(SCENES))
    if (luck.chance(0.03) && profiles.includes(plan.profile)) return { ...plan, ...of(plan) };
  if (luck.fork(`wrong inputs ${WRONG_INPUTS}`).chance(0.03))
    return { ...plan, ...wrongInputs(plan) };
  return plan;
}
