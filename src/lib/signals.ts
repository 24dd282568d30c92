/** In-process notifications: hints that something may have changed, never the only copy of a fact. */
export type Signals<Topics> = {
  emit<K extends keyof Topics>(topic: K, message: Topics[K]): void;
  /** Calls `listener` on every later `emit` of the topic; returns a function that unsubscribes. */
  on<K extends keyof Topics>(topic: K, listener: (message: Topics[K]) => void): () => void;
};

export function createSignals<Topics>(): Signals<Topics> {
  const listeners: { [K in keyof Topics]?: Set<(message: Topics[K]) => void> } = {};
  return {
    emit(topic, message) {
      for (const listener of listeners[topic] ?? []) listener(message);
    },
    on(topic, listener) {
      const group = (listeners[topic] ??= new Set());
      group.add(listener);
      return () => group.delete(listener);
    },
  };
}
