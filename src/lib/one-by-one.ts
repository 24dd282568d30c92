/** The work that is in progress, by name. */
export type InProgress = Map<string, Promise<void>>;

/** Does some work when no other work of the same name is in progress, whatever became of that. */
export async function oneByOne<T>(
  running: InProgress,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  for (let other = running.get(name); other; other = running.get(name)) await other;
  const { promise, resolve } = Promise.withResolvers<void>();
  running.set(name, promise);
  try {
    return await work();
  } finally {
    running.delete(name);
    resolve();
  }
}
