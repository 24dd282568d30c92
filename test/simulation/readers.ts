import type { Node } from "./node.ts";
import type { Luck } from "./random.ts";
import type { Timeline } from "./timeline.ts";

export type Reader = {
  /** The id of the last log event before it began. */
  start: number;
  ids: number[];
};

type ReaderWorld = {
  timeline: Timeline;
  /** Readers may be slow until this time. */
  activeMs: number;
  luck: Luck;
  isRestless: boolean;
  nodeFor(luck: Luck): Node | undefined;
  lastEvent(): number;
  complain(what: string): void;
};

const RECONNECT_MS = 300;
/** Its key stays valid, and its open streams are not counted. */
const READER = { signal: new AbortController().signal, release: () => {} };

/**
 * Follows the event streams of nodes as a client does: when a stream ends or its node dies, the reader continues at
 * another node with the last id that it has seen. Some readers are slow, and some leave and return all the time, as pages
 * do that are reloaded.
 */
export function startReader(world: ReaderWorld, first: Node): Reader {
  const { timeline, luck } = world;
  const reader: Reader = { start: world.lastEvent(), ids: [] };
  const pauseMs = luck.pick([0, 0, 50, 500]);
  const staysMs = world.isRestless ? 30 : luck.pick([undefined, undefined, 1000, 30]);
  const isActive = () => timeline.now() < world.activeMs;
  const decoder = new TextDecoder();

  function reconnect(): void {
    const awayMs = staysMs === undefined || !isActive() ? RECONNECT_MS : luck.about(20);
    timeline.at(timeline.now() + awayMs, () => {
      const node = world.nodeFor(luck);
      if (node) follow(node);
      else reconnect();
    });
  }

  function follow(node: Node): void {
    let isLeft = false;
    // The connection to a dead node breaks, the one to a paused node does not.
    const leave = () => {
      if (isLeft) return;
      isLeft = true;
      reconnect();
    };
    const watch = () => {
      if (isLeft) return;
      if (node.clock.isDead() || node.isStopping) leave();
      else timeline.at(timeline.now() + RECONNECT_MS, watch);
    };
    timeline.at(timeline.now() + RECONNECT_MS, watch);
    read(node, () => isLeft).then(leave, leave);
  }

  async function read(node: Node, isLeft: () => boolean): Promise<void> {
    const after = reader.ids.at(-1) ?? reader.start;
    const stream = await node.parts.hub.open({}, after, READER);
    const source = stream.getReader();
    if (staysMs !== undefined && isActive())
      timeline.at(timeline.now() + luck.about(staysMs), () => void source.cancel());
    let rest = "";
    for (;;) {
      const { value, done } = await source.read();
      if (done || isLeft()) return;
      rest += decoder.decode(value, { stream: true });
      const frames = rest.split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) take(frame);
      if (pauseMs > 0 && isActive())
        await new Promise<void>((go) => timeline.at(timeline.now() + pauseMs, go));
    }
  }

  function take(frame: string): void {
    const id = /^id: (\d+)$/m.exec(frame)?.[1];
    if (id === undefined) return;
    const before = reader.ids.at(-1) ?? reader.start;
    if (Number(id) <= before) world.complain(`a reader got event ${id} after event ${before}`);
    reader.ids.push(Number(id));
  }

  follow(first);
  return reader;
}

/** The first event of the log that a reader has missed, if there is one. */
export function firstMissed(reader: Reader, log: readonly { id: number }[]): number | undefined {
  const seen = new Set(reader.ids);
  return log.find(({ id }) => id > reader.start && !seen.has(id))?.id;
}
