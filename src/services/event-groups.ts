import type { LoggedEvent } from "../domain/event.ts";
import type { LiveStream, StreamFilter } from "./event-stream.ts";

/** Streams with the same filter share their text. */
export type Group = {
  filter: StreamFilter;
  streams: Set<LiveStream>;
  /** Their part of the current page, and whether their subject has ended in it. */
  text: string;
  isOver: boolean;
  /** The next piece of an answer for them. */
  delta: { offset: number; text: string } | undefined;
};

/** The groups of a process, indexed by subject, so that an event costs only the groups that it concerns. */
export function createGroups() {
  const all = new Map<string, Group>();
  const byTopic = new Map<string, Set<Group>>();
  const about = (topic: string): Iterable<Group> => byTopic.get(topic) ?? [];

  return {
    join(filter: StreamFilter): Group {
      const key = keyOf(filter);
      const known = all.get(key);
      if (known) return known;
      const group = { filter, streams: new Set<LiveStream>(), text: "", isOver: false };
      const added: Group = { ...group, delta: undefined };
      all.set(key, added);
      for (const topic of topicsOf(filter)) {
        const others = byTopic.get(topic);
        if (others) others.add(added);
        else byTopic.set(topic, new Set([added]));
      }
      return added;
    },

    /** Removes a group without streams. */
    drop(group: Group): void {
      if (group.streams.size > 0) return;
      all.delete(keyOf(group.filter));
      for (const topic of topicsOf(group.filter)) {
        const others = byTopic.get(topic);
        others?.delete(group);
        if (others?.size === 0) byTopic.delete(topic);
      }
    },

    *concernedBy({ task, batch }: LoggedEvent): Generator<Group> {
      yield* about("");
      if (task !== null) yield* about(`task ${task}`);
      if (batch !== null) yield* about(`batch ${batch}`);
    },

    /** The groups that get the streamed answer of this task. */
    streaming: (taskSeq: number) => about(`answer ${taskSeq}`),
    values: () => all.values(),

    /** The tasks whose streamed answers have readers. */
    *streamedTasks(): Generator<number> {
      for (const { filter } of all.values())
        if (filter.subject?.kind === "task") yield filter.subject.seq;
    },
  };
}

function topicsOf({ task, batch, subject }: StreamFilter): string[] {
  const topic = task !== undefined ? `task ${task}` : batch !== undefined ? `batch ${batch}` : "";
  return subject?.kind === "task" ? [topic, `answer ${subject.seq}`] : [topic];
}

function keyOf({ task, batch, types, subject }: StreamFilter): string {
  return JSON.stringify([task, batch, types && [...types].toSorted(), subject]);
}
