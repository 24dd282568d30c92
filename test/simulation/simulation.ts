import { compileSchema } from "../../src/lib/json-schema.ts";
import { loadSdk } from "../../src/providers/sdk.ts";
import { countTokens } from "../../src/providers/tokens.ts";
import { createStore } from "./database.ts";
import type { Plan } from "./plan.ts";
import { live, type Outcome } from "./world.ts";

export type Simulation = { live(plan: Plan, options?: { isTraced: boolean }): Promise<Outcome> };

/** Prepares the parts that all worlds share, so that a running world loads nothing real. */
export async function createSimulation(): Promise<Simulation> {
  // The first use of a vocabulary loads it, which takes real time.
  await countTokens("gpt-4", "warm");
  await countTokens("gpt-4o", "warm");
  await loadSdk();
  compileSchema({ type: "object" });
  const store = await createStore();
  return { live: (plan, options = { isTraced: false }) => live(plan, { store, ...options }) };
}
