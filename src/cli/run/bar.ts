import type { Clock } from "../../lib/clock.ts";
import type { Batch } from "../client.ts";
import { dollars, duration } from "../format.ts";
import { plain, type Terminal } from "../terminal.ts";

const BAR_WIDTH = 24;
/** The period over which the rate is measured. */
const WINDOW_MS = 15_000;
/** How often a new line is printed if lines cannot be replaced. */
const LINE_EVERY_MS = 10_000;

export type Bar = {
  show(batch: Batch, trouble: string | null): void;
  /** The last line stays. */
  end(): void;
};

/** One live line: progress, rate, cost, remaining time, and why the batch waits. */
export function createBar(
  { terminal, clock }: { terminal: Terminal; clock: Pick<Clock, "monotonic"> },
  target: number | null,
): Bar {
  const past: { at: number; done: number }[] = [];
  let saidAt = clock.monotonic();
  let last = "";
  return {
    show(batch, trouble) {
      const at = clock.monotonic();
      const done = target === null ? endedOf(batch) : triedOf(batch);
      past.push({ at, done });
      while ((past[0]?.at ?? at) < at - WINDOW_MS) past.shift();
      last = describe({
        batch,
        target: target ?? batch.progress.total,
        done,
        perSecond: rateOf(past),
        trouble,
      });
      if (terminal.canDraw) terminal.draw(last.slice(0, terminal.columns() - 1));
      else if (at - saidAt >= LINE_EVERY_MS) {
        saidAt = at;
        terminal.say(last);
      }
    },
    end() {
      if (last !== "" && terminal.canDraw) terminal.say(last.slice(0, terminal.columns() - 1));
    },
  };
}

/** The number of ended rows. */
export function endedOf({ progress }: Pick<Batch, "progress">): number {
  return progress.completed + progress.failed + progress.cancelled;
}

/** The same without skipped rows, which a pilot does not count. */
export function triedOf(batch: Pick<Batch, "progress">): number {
  return endedOf(batch) - batch.progress.skipped;
}

function rateOf(past: { at: number; done: number }[]): number | null {
  const [first, last] = [past[0], past.at(-1)];
  if (!first || !last || last.at - first.at < 500) return null;
  return ((last.done - first.done) / (last.at - first.at)) * 1000;
}

function describe({
  batch,
  target,
  done,
  perSecond,
  trouble,
}: {
  batch: Batch;
  target: number;
  done: number;
  perSecond: number | null;
  trouble: string | null;
}): string {
  const share = target === 0 ? 1 : Math.min(1, done / target);
  const filled = Math.round(share * BAR_WIDTH);
  const left = Math.max(0, target - done);
  const parts = [
    `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${done}/${target} ${Math.floor(share * 100)} %`,
    perSecond === null ? "" : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s`,
    batch.costUsd === null ? "" : dollars(batch.costUsd),
    perSecond && left > 0 ? `${duration(left / perSecond)} left` : "",
    batch.progress.failed > 0 ? `${batch.progress.failed} failed` : "",
    trouble === null ? waitingFor(batch) : plain(trouble),
  ];
  return parts.filter((part) => part !== "").join("  ");
}

const REASONS: Record<string, string> = {
  rate_limit: "waits for the provider's rate limit",
  provider_unavailable: "waits for the provider, which is away",
};

function waitingFor({ waiting, status }: Batch): string {
  if (waiting === null || status !== "running") return "";
  const until = waiting.until === null ? "" : ` until ${waiting.until.slice(11, 19)} UTC`;
  return `${REASONS[waiting.reason] ?? `waits: ${waiting.reason}`}${until}`;
}
