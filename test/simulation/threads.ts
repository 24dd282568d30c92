import type { NodeClock } from "./node-clock.ts";
import type { Luck } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/** Does work in the order in which it is asked for, one piece after the other. */
export type DatabaseThread = <Result>(work: () => Promise<Result>) => Promise<Result>;

/**
 * The thread of a process that writes its local file, or reads it. It dies with the process: work that it has not done by
 * then has no effect, and the result of work that it has done may be lost.
 */
export function createDatabaseThread(
  timeline: Timeline,
  { clock, luck, meanMs }: { clock: NodeClock; luck: Luck; meanMs: number },
): DatabaseThread {
  let freeAt = 0;
  return (work) =>
    new Promise((resolve, reject) => {
      freeAt = Math.max(timeline.now(), freeAt) + luck.about(meanMs);
      const backMs = luck.about(meanMs / 4);
      timeline.at(freeAt, () => {
        if (clock.isDead()) return;
        work().then(
          (result) => clock.arrive(backMs, () => resolve(result)),
          (error: unknown) => clock.arrive(backMs, () => reject(error)),
        );
      });
    });
}
