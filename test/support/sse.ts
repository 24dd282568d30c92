import { KEY, type Json, until } from "./server.ts";

export type Reported = { id: number | undefined; event: string; data: Json };

/** A reader of an event stream without a library, so that tests see the exact bytes. */
export async function follow(
  url: string,
  path: string,
  {
    key = KEY,
    headers = {},
    tls = {},
  }: { key?: string; headers?: Record<string, string>; tls?: { ca?: string } } = {},
) {
  const abort = new AbortController();
  const response = await fetch(`${url}/api/v1${path}`, {
    headers: { ...(key === "" ? {} : { authorization: `Bearer ${key}` }), ...headers },
    signal: abort.signal,
    tls,
  });
  const reported: Reported[] = [];
  const state = { text: "", isOver: false };
  const reading = read(response, state, reported).catch(() => undefined);
  return {
    response,
    status: response.status,
    reported,
    /** The raw text of the stream so far. */
    text: () => state.text,
    types: () => reported.map(({ event }) => event),
    ids: () => reported.flatMap(({ id }) => id ?? []),
    lastId: () => reported.findLast(({ id }) => id !== undefined)?.id ?? 0,
    /** Waits for an event of this type. */
    until: (type: string) => until(() => reported.find(({ event }) => event === type)),
    /** Whether the stream has ended. */
    isOver: () => state.isOver,
    /** Waits until the server ends the stream. */
    ended: () => until(() => state.isOver || undefined),
    async close() {
      abort.abort();
      await reading;
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}

async function read(
  response: Response,
  state: { text: string; isOver: boolean },
  reported: Reported[],
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of response.body ?? []) {
      const text = decoder.decode(chunk, { stream: true });
      state.text += text;
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const fields = Object.fromEntries(
          block
            .split("\n")
            .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        const { id, event, data } = fields;
        if (data === undefined) continue;
        reported.push({
          id: id === undefined ? undefined : Number(id),
          event: event ?? "",
          data: JSON.parse(data),
        });
      }
    }
  } finally {
    state.isOver = true;
  }
}
