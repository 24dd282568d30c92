import { BEHAVIOURS } from "../support/limit-behaviours.ts";
import { runWorld } from "../support/limit-world.ts";
import { printTable, round } from "./support.ts";

/** The pacer, told nothing, against twelve ways of limiting calls, in virtual time. */
export async function benchBehaviours(): Promise<void> {
  printTable(
    "Twelve ways of limiting calls",
    BEHAVIOURS.map((behaviour) => {
      const { overIdeal, refused, failed } = runWorld(behaviour);
      return {
        behaviour: behaviour.name,
        calls: behaviour.calls,
        "time / ideal": round(overIdeal),
        "refused %": round(refused * 100),
        "rows failed": failed,
      };
    }),
  );
}
