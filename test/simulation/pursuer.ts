import { cancelTask, executeTask } from "../../src/services/tasks.ts";
import type { ClientWorld } from "./acting.ts";
import { isExpected } from "./clients.ts";
import type { ProviderCall, SimulatedProvider } from "./provider.ts";
import type { Luck } from "./random.ts";

/** The share of calls that are pursued, and the most per world, because each leads to another call. */
const SHARE = 0.3;
const MOST = 40;
/** About the time from an answer to its commit. */
const WITHIN_MS = 3;

type Pursued = ClientWorld & { provider: SimulatedProvider };

/**
 * A client with the worst timing: it cancels a task, and executes it again, while the answer to its call is on the way
 * from the provider to the database. If it is too late to cancel, it executes the task again all the same.
 */
export function startPursuer(world: Pursued, luck: Luck): void {
  const { timeline, plan, provider } = world;
  let left = MOST;
  provider.onEnd = ({ task }: ProviderCall) => {
    if (timeline.now() > plan.activeMs || left === 0 || !luck.chance(SHARE)) return;
    left--;
    timeline.at(timeline.now() + luck.next() * WITHIN_MS, () => act(world, luck, task));
  };
}

function act(world: Pursued, luck: Luck, task: string): void {
  const ctx = world.nodeFor(luck)?.ctx;
  if (!ctx) return;
  const what = `cancel ${task} behind its answer, and execute it`;
  world.note(() => `client  ${what}`);
  world.ledger.mayStart(task);
  const again = { isDryRun: false, priority: undefined, payer: 1 };
  const reported = (error: unknown) => {
    world.note(() => `client  ${what}: ${String(error)}`);
    if (!isExpected(error)) world.complain(`${what} failed with ${String(error)}`);
  };
  cancelTask(ctx, task)
    .catch(reported)
    .then(() => executeTask(ctx, task, again))
    .catch(reported);
}
