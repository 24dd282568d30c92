import { executeTask } from "../../src/services/tasks.ts";
import type { ClientWorld } from "./acting.ts";
import { isExpected } from "./clients.ts";
import type { Database } from "./database.ts";
import type { Node } from "./node.ts";
import type { Luck } from "./random.ts";

/** Nodes that make the rows of batches that waited for another, each with a task of that other batch. */
const MAKERS = `SELECT w.chain_owner AS owner, (
    SELECT t.id FROM tasks t JOIN batches f ON f.seq = t.batch WHERE f.id = w.input_batch LIMIT 1) AS task
  FROM batches w
  WHERE w.chain_status = 'waiting' AND w.status = 'pending' AND w.chain_owner IS NOT NULL`;

type Disturbed = ClientWorld & { database: Database; nodesAlive(): Node[] };

/** Kills nodes while they make the rows of a batch, or executes a task again from which one of the rows is made. */
export function createDisturber(world: Disturbed, luck: Luck) {
  const { database, timeline, ledger } = world;

  function executeSoon(task: string): void {
    ledger.mayStart(task);
    timeline.at(timeline.now() + luck.about(4), () => {
      const node = world.nodeFor(luck);
      if (!node || timeline.now() > world.plan.activeMs) return;
      world.note(() => `client  executes ${task} while it is read`);
      executeTask(node.ctx, task, { isDryRun: false, priority: undefined, payer: 1 }).catch(
        (error: unknown) => {
          if (!isExpected(error)) world.complain(`execute ${task} failed with ${String(error)}`);
        },
      );
    });
  }

  return async (): Promise<void> => {
    for (const { owner, task } of (await database.truth.execute(MAKERS)).rows) {
      const node = world.nodesAlive().find(({ ctx }) => ctx.live.node === Number(owner));
      if (node && luck.chance(0.3)) world.crash(node, luck.about(8));
      else if (task !== null && luck.chance(0.4)) executeSoon(String(task));
    }
  };
}
