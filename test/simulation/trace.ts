import { type Plan, planOf, type Profile } from "./plan.ts";
import { createSimulation, type Simulation } from "./simulation.ts";

/**
 * Simulates one seed and prints the faults found. With `isTraced` it first removes clients and faults that the fault
 * does not need, and prints the history. Returns whether no fault was found.
 */
export async function traceSeed(
  seed: string,
  profile: Profile,
  isTraced: boolean,
): Promise<boolean> {
  const simulation = await createSimulation();
  const plan = planOf(seed, profile);
  const { complaints } = await simulation.live(plan);
  const [first] = complaints;
  if (first === undefined || !isTraced) {
    for (const complaint of complaints) console.log(complaint);
    console.log(`seed ${seed} (${profile}): ${complaints.length} findings`);
    if (isTraced) console.log((await simulation.live(plan, { isTraced })).trace.join("\n"));
    return complaints.length === 0;
  }
  const reduced = await reduce(simulation, plan, kindOf(first));
  const { trace } = await simulation.live(reduced, { isTraced: true });
  console.log(trace.join("\n"));
  console.log(
    `The plan, of which ${reduced.clients.length} of ${plan.clients.length} clients and ${reduced.faults.length} of ${plan.faults.length} faults are left:`,
  );
  console.log(JSON.stringify(reduced, null, 2));
  return false;
}

/** Removes clients, faults and actions from a plan, one by one, as long as the same kind of fault is found. */
async function reduce(simulation: Simulation, plan: Plan, kind: string): Promise<Plan> {
  const stays = async (candidate: Plan) =>
    (await simulation.live(candidate)).complaints.some((one) => kindOf(one) === kind);
  let smallest = plan;
  for (const smaller of [withoutOneFault, withoutOneClient, withoutOneAction])
    for (let i = 0; ;) {
      const candidate = smaller(smallest, i);
      if (!candidate) break;
      if (await stays(candidate)) smallest = candidate;
      else i++;
    }
  return smallest;
}

function withoutOneFault(plan: Plan, i: number): Plan | undefined {
  return i < plan.faults.length ? { ...plan, faults: plan.faults.toSpliced(i, 1) } : undefined;
}

function withoutOneClient(plan: Plan, i: number): Plan | undefined {
  const { clients } = plan;
  return i < clients.length && clients.length > 1
    ? { ...plan, clients: clients.toSpliced(i, 1) }
    : undefined;
}

function withoutOneAction(plan: Plan, i: number): Plan | undefined {
  const actions = Object.entries(plan.actions);
  return i < actions.length && actions.length > 1
    ? { ...plan, actions: Object.fromEntries(actions.toSpliced(i, 1)) as Plan["actions"] }
    : undefined;
}

/** The kind of a fault: its text without ids and numbers. */
function kindOf(complaint: string): string {
  return complaint
    .replaceAll(/"[^"]*"|\bbatch-[0-9a-z]+(\.s\d)?|\b(run|wh|task)-[0-9a-z]+/g, "X")
    .replaceAll(/\b[tbs]\d+(-\d+)?\b/g, "X")
    .replaceAll(/-?\d+(\.\d+)?(e[+-]?\d+)?/g, "#")
    .slice(0, 100);
}
