import type { Plan } from "../db/unit.ts";
import { feed, type FeedProgress, type FeedUnit, type LaneReady } from "../store/feed.ts";
import type { RunningBatch } from "../store/queue-state.ts";
import type { LaneBook } from "./lane-book.ts";

/** A batch with fewer ready rows than this is fed, and so is one with a model that has fewer than `LOW_LANE`. */
const LOW_BATCH = 1000;
const LOW_LANE = 100;
/** A model without a task in this many chunks is assumed to have none left. */
const CHUNKS_TO_DOUBT = 20;
/** A model with this many ready tasks gets no more while another of its batch is fed. */
const GLUT = 1500;
/** The most chunks, and so the most batches, that are fed in one commit. */
const CHUNKS_AT_ONCE = 2;
const BATCHES_AT_ONCE = 50;

type Position = {
  /** Its tasks that were pending when its feeding began; there are no more to feed. */
  pending: number;
  after: number;
  isDrained: boolean;
  chunks: number;
  /** Models of the batch, and the chunk in which each last had a task. */
  models: Map<string, number>;
  /** Models whose tasks are skipped, and the position from which on they were. */
  passedOver: Map<string, number>;
};

/**
 * Keeps the queue short: the pending tasks of a running batch enter it in input order when its lanes run low. So
 * executing a million tasks changes one row, and pausing or cancelling them little more. The position in each batch
 * is kept only in memory: after a restart it begins again, and tasks that are in the queue already are skipped. A
 * batch of several models is fed as long as one of them runs low, so a model that hangs does not hold up the others.
 * A model with thousands of ready tasks is skipped meanwhile; the feeder returns to its tasks when it runs low.
 */
export function createFeeder(book: LaneBook, chunk: number) {
  const positions = new Map<number, Position>();

  function isHungry(seq: number, { isDrained, chunks, models }: Position): boolean {
    if (isDrained) return false;
    if (book.readyIn(seq) < LOW_BATCH) return true;
    return [...models].some(
      ([model, chunk]) =>
        chunks - chunk < CHUNKS_TO_DOUBT && book.laneOf(seq, model).ready < LOW_LANE,
    );
  }

  function goBack(seq: number, position: Position): void {
    for (const [model, after] of position.passedOver) {
      if (book.laneOf(seq, model).ready >= LOW_LANE) continue;
      position.passedOver.delete(model);
      position.after = Math.min(position.after, after);
      position.isDrained = false;
    }
  }

  function advance(position: Position, fed: FeedProgress, lanes: LaneReady[]): void {
    position.after = fed.position ?? position.after;
    position.isDrained = fed.seen < chunk;
    position.chunks++;
    for (const { model, ready } of lanes) {
      if (ready > book.laneOf(fed.batch, model).ready) position.models.set(model, position.chunks);
      if (ready > GLUT && !position.passedOver.has(model))
        position.passedOver.set(model, position.after);
    }
  }

  /** The hungriest batches, as many as are fed in one commit. */
  function findHungriest(): [number, Position][] {
    const hungry: { seq: number; position: Position; ready: number }[] = [];
    for (const [seq, position] of positions) {
      if (position.passedOver.size > 0) goBack(seq, position);
      if (isHungry(seq, position)) hungry.push({ seq, position, ready: book.readyIn(seq) });
    }
    hungry.sort((a, b) => a.ready - b.ready);
    const chosen: [number, Position][] = [];
    let rows = 0;
    for (const { seq, position } of hungry) {
      if (rows >= CHUNKS_AT_ONCE * chunk || chosen.length === BATCHES_AT_ONCE) break;
      rows += Math.min(chunk, position.pending);
      chosen.push([seq, position]);
    }
    return chosen;
  }

  return {
    /** Sets the running batches; others are forgotten, new and hungry ones begin at their first task. */
    setBatches(running: RunningBatch[]): void {
      const seqs = new Set(running.map(({ seq }) => seq));
      for (const seq of positions.keys()) if (!seqs.has(seq)) positions.delete(seq);
      for (const { seq, pending, isHungry: isHungryNow } of running)
        if (!positions.has(seq) || (isHungryNow && positions.get(seq)?.isDrained))
          positions.set(seq, fromStart(pending));
    },
    /** The unit that feeds the hungriest batches, if there are any. */
    plan(times: { now: number; steadyNow: number }): Plan<FeedUnit> | undefined {
      const hungriest = findHungriest();
      if (hungriest.length === 0) return undefined;
      const from = hungriest.map(([batch, { after, passedOver }]) => ({
        batch,
        position: after,
        passedOver: [...passedOver.keys()],
      }));
      return {
        unit: feed(from, chunk, times),
        committed({ progress, ready }) {
          for (const [seq, position] of hungriest) {
            const fed = progress.rows.find(({ batch }) => batch === seq);
            const lanes = ready.rows.filter(({ lane }) => lane === seq);
            if (fed) advance(position, fed, lanes);
            book.learn(lanes, seq);
          }
        },
      };
    },
  };
}

function fromStart(pending: number): Position {
  return {
    pending,
    after: -1,
    isDrained: false,
    chunks: 0,
    models: new Map(),
    passedOver: new Map(),
  };
}
