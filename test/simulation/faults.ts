import type { createCallChecks } from "./call-checks.ts";
import { type Database, NO_DATABASE_FAULTS } from "./database.ts";
import type { Node } from "./node.ts";
import type { Fault, Plan } from "./plan.ts";
import type { SimulatedProvider } from "./provider.ts";
import type { Receivers } from "./receiver.ts";
import type { createNodeSlotChecks } from "./slot-checks.ts";
import type { Timeline } from "./timeline.ts";

/** The parts of a world that faults affect. */
export type Faulty = {
  timeline: Timeline;
  database: Database;
  provider: SimulatedProvider;
  receivers: Receivers;
  nodes: (Node | undefined)[];
  calls: ReturnType<typeof createCallChecks>;
  slots: ReturnType<typeof createNodeSlotChecks>;
  counts: { kills: number };
  /** Nodes that were asked to stop, some before they had a number. */
  leaving: Set<Node>;
  plan: Plan;
  note(line: () => string): void;
  attend(work: Promise<unknown>): void;
  leave(index: number, downMs: number): void;
};

const STOP_GRACE_MS = 500;

export function applyFault(world: Faulty, fault: Fault): void {
  const { timeline } = world;
  const later = (ms: number, happen: () => void) => timeline.at(timeline.now() + ms, happen);
  switch (fault.kind) {
    case "database":
      world.database.faults = fault.faults;
      return void later(fault.ms, () => (world.database.faults = NO_DATABASE_FAULTS));
    case "provider":
      world.provider.mood = fault.mood;
      return void later(fault.ms, () => (world.provider.mood = "well"));
    case "receivers":
      world.receivers.mood = fault.mood;
      return void later(fault.ms, () => (world.receivers.mood = "well"));
    default: {
      const node = world.nodes[fault.node];
      if (node) applyToNode(world, node, fault);
    }
  }
}

type NodeFault = Extract<Fault, { node: number }>;

function applyToNode(world: Faulty, node: Node, fault: NodeFault): void {
  const now = world.timeline.now();
  switch (fault.kind) {
    case "kill":
      world.counts.kills++;
      return world.leave(fault.node, fault.downMs);
    case "stop":
      return world.attend(stop(world, node, fault.downMs));
    case "pause":
      world.calls.excuse((call) => call.node === fault.node, now + fault.ms);
      return node.clock.pause(fault.ms);
    case "jump":
      return void node.clock.jump(fault.ms);
    case "cut":
      return node.connection.cut(fault.ms);
    case "thread":
      world.calls.excuse((call) => call.node === fault.node, now);
      world.slots.lost(fault.node);
      return node.killThread();
  }
}

/** Stops a node as SIGTERM stops a process. */
async function stop(world: Faulty, node: Node, downMs: number): Promise<void> {
  if (node.isStopping) return;
  node.isStopping = true;
  world.leaving.add(node);
  await node.started.catch(() => undefined);
  await node.parts.stop(STOP_GRACE_MS).catch(() => undefined);
  if (world.nodes[node.index] === node) world.leave(node.index, downMs);
}
