import { Refusal } from "../rest.ts";
import type { World } from "../tool.ts";

/** Answers of the simulator must never look like real ones, so they are made only on request. */
export async function requireProvider(world: World, isDryRun: boolean): Promise<void> {
  if (isDryRun || !(await world.provider()).isSimulator) return;
  throw new Refusal(
    "NO_PROVIDER",
    "The server has no provider, and invented answers must not look like real ones. Configure one there " +
      "(OPENAI_API_KEY or OPENAI_BASE_URL), or set `isDryRun`, which marks the answers",
  );
}
