import { applyFault, type Faulty } from "./faults.ts";
import type { ProviderCall, SimulatedProvider } from "./provider.ts";
import type { Luck } from "./random.ts";

type Hunted = Faulty & { provider: SimulatedProvider };

/** About the time until the thread ends. */
const WITHIN_MS = 5;

/**
 * Ends a thread of a node that calls the provider for a task whose earlier call it still makes: the claim of the earlier
 * call was lost, and its slot must not be lost with the thread.
 */
export function startHunter(world: Hunted, luck: Luck): void {
  const { timeline, provider, plan } = world;
  const { onCall } = provider;
  const newest = new Map<string, ProviderCall>();
  provider.onCall = (call) => {
    onCall(call);
    const key = `${call.node} ${call.task}`;
    const earlier = newest.get(key);
    newest.set(key, call);
    const at = timeline.now() + luck.next() * WITHIN_MS;
    if (earlier?.endedAt !== null || at > plan.activeMs) return;
    timeline.at(at, () => {
      world.note(() => `fault   a thread of node ${call.node} dies with two calls of ${call.task}`);
      applyFault(world, { at, kind: "thread", node: call.node });
    });
  };
}
