import { compileSchema } from "../../src/lib/json-schema.ts";
import { countTokens } from "../../src/providers/tokens.ts";
import { createStore } from "./database.ts";
import type { Plan } from "./plan.ts";
import { live, type Outcome } from "./world.ts";

export type Simulation = { live(plan: Plan, options?: { isTraced: boolean }): Promise<Outcome> };

/** Makes what all worlds have in common, so that nothing real is loaded while one lives. */
export async function createSimulation(): Promise<Simulation> {
  // Vocabularies are loaded when first asked for, which takes real time.
  await countTokens("gpt-4", "warm");
  await countTokens("gpt-4o", "warm");
  compileSchema({ type: "object" });
  const store = await createStore();
  return { live: (plan, options = { isTraced: false }) => live(plan, { store, ...options }) };
}
