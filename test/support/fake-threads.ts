import type { StartThread } from "../../src/lib/thread.ts";

/** A thread that does nothing by itself: the test answers for it. */
type FakeThread<Message, Answer> = {
  posted: Message[];
  isEnded: boolean;
  answer: (message: Answer) => void;
  die: () => void;
};

/** Threads that the test controls, in the order in which they were started. */
export function fakeThreads<Message, Answer>() {
  const threads: FakeThread<Message, Answer>[] = [];
  const startThread: StartThread = <Sent, Received>(handlers: {
    onMessage: (message: Received) => void;
    onDeath: (why: string) => void;
  }) => {
    const started: FakeThread<Message, Answer> = {
      posted: [],
      isEnded: false,
      answer: (message) => handlers.onMessage(message as unknown as Received),
      die: () => handlers.onDeath("killed"),
    };
    threads.push(started);
    return {
      post: (message: Sent) => void started.posted.push(message as unknown as Message),
      end: () => void (started.isEnded = true),
    };
  };
  return { threads, startThread };
}
