/** A worker thread, as whoever started it sees it. */
export type Thread<Sent> = {
  post(message: Sent): void;
  /** Ends it at once; nothing is heard of it any more. */
  end(): void;
};

/**
 * Starts a thread. `onMessage` gets what it posts, `onDeath` is called once if it ends by itself. The
 * entry that runs in it decides about the types of messages, so that its owner names them.
 */
export type StartThread = <Sent, Received>(handlers: {
  onMessage: (message: Received) => void;
  onDeath: (why: string) => void;
}) => Thread<Sent>;
