import type { Acting, Begun } from "./acting.ts";
import type { LiveCall } from "./ledger.ts";
import type { ProviderCall } from "./provider.ts";

/** The start of the prompts of live calls. */
const LIVE = "live-";

export const isLive = ({ task }: Pick<ProviderCall, "task">) => task.startsWith(LIVE);

/** A live call under the budget of a key. Some clients leave before it is answered, or while its answer is streamed. */
export function callLive(acting: Acting): Begun {
  const { luck, ledger, plan, node } = acting;
  const id = `${LIVE}${ledger.live.length}`;
  const call: LiveCall = { node, isOver: false, costUsd: 0 };
  ledger.live.push(call);
  const flags = ["dear", ...(plan.flags.includes("bad") ? ["bad"] : [])].filter(() =>
    luck.chance(0.5),
  );
  const isStreamed = luck.chance(0.3);
  const leaving = luck.chance(0.3) ? luck.about(60) : null;
  return {
    what: `call live ${id} ${flags.join(" ")}${leaving === null ? "" : ` for ${leaving.toFixed(0)} ms`}`,
    done: send(acting, { call, id, flags, isStreamed, leaving }),
  };
}

type Sent = {
  call: LiveCall;
  id: string;
  flags: string[];
  isStreamed: boolean;
  leaving: number | null;
};

async function send(
  { timeline, node, caller }: Acting,
  { call, id, flags, isStreamed, leaving }: Sent,
): Promise<void> {
  const body = {
    model: "gpt-4",
    messages: [{ role: "user", content: `${id}|${flags.join(" ")}` }],
    ...(isStreamed ? { stream: true } : {}),
  };
  const client = new AbortController();
  if (leaving !== null) timeline.at(timeline.now() + leaving, () => client.abort());
  try {
    const answer = await node.parts.liveCalls({
      endpoint: "/v1/chat/completions",
      model: body.model,
      text: JSON.stringify(body),
      body,
      caller: { key: caller.key, hasBudget: true },
      trace: null,
      taskId: null,
      usesCache: false,
      signal: client.signal,
    });
    call.costUsd = answer.costUsd ?? 0;
    // Reads it to its end, or until the client leaves.
    if (typeof answer.body !== "string")
      for await (const _ of answer.body) if (client.signal.aborted) break;
  } catch (error) {
    if (!client.signal.aborted) throw error;
  } finally {
    call.isOver = true;
  }
}

/** The live calls that living nodes were asked for, and that have not ended. */
export function openLive(asked: readonly LiveCall[]): string[] {
  return asked.flatMap(({ node, isOver }, i) =>
    isOver || node.clock.isDead() ? [] : [`${LIVE}${i} of node ${node.index}`],
  );
}

/** Checks that each live call was sent at most once. */
export function checkLive(calls: readonly ProviderCall[], complain: (what: string) => void): void {
  const sent = new Set<string>();
  for (const call of calls.filter(isLive)) {
    if (sent.has(call.task)) complain(`${call.task} was sent twice`);
    sent.add(call.task);
  }
}
