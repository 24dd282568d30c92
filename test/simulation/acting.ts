import type { Caller } from "../../src/services/caller.ts";
import type { Ledger } from "./ledger.ts";
import type { Node } from "./node.ts";
import type { Plan } from "./plan.ts";
import type { Luck } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/** The parts of a world that clients use. */
export type ClientWorld = {
  plan: Plan;
  timeline: Timeline;
  ledger: Ledger;
  /** A node that answers, if there is one. */
  nodeFor(luck: Luck): Node | undefined;
  note(line: () => string): void;
  /** Reports something that no client should ever see. */
  complain(what: string): void;
  /** A client's request was answered, well or not. */
  answered(): void;
  watch(node: Node): void;
  /**
   * A client is about to end calls of a batch: an answer that is not yet committed may be lost with them. Call the
   * result when it has.
   */
  excuseCallsOf(batch: string): () => void;
  /** Kills a node after `ms`. */
  crash(node: Node, ms: number): void;
  /** How many more slow actions a world may take. */
  left: { webhooks: number; schedules: number; readers: number; wrong: number };
};

export type Acting = ClientWorld & { luck: Luck; caller: Caller; node: Node };
export type Begun = { what: string; done: Promise<unknown> };

/** Chooses from a few ids, so that clients act on the same things. Most of the ids exist. */
export function anyTask({ luck, ledger: { tasks } }: Acting): string {
  return oneOf(luck, tasks) ?? newTask(luck);
}

export function anyBatch({ luck, ledger: { batches } }: Acting): string {
  return oneOf(luck, batches) ?? newBatch(luck);
}

export const newTask = (luck: Luck) => `t${luck.int(0, 11)}`;
export const newBatch = (luck: Luck) => `b${luck.int(0, 3)}`;

function oneOf(luck: Luck, known: string[]): string | undefined {
  return luck.chance(0.9) ? known[luck.int(0, known.length - 1)] : undefined;
}

export function remember(known: string[], id: string): void {
  if (!known.includes(id)) known.push(id);
}
