import type { PostWebhook } from "../../src/context.ts";
import type { NodeClock } from "./node-clock.ts";
import type { Luck } from "./random.ts";

/** A state of the receivers of webhooks. */
export const RECEIVER_MOODS = ["well", "slow", "failing", "hanging"] as const;
export type ReceiverMood = (typeof RECEIVER_MOODS)[number];

export type Receivers = {
  mood: ReceiverMood;
  /** By URL, how often each `webhook-id` was answered with 200. */
  received: Map<string, Map<string, number>>;
  postFrom(node: { clock: NodeClock }): PostWebhook;
};

/** The receivers of webhooks. Only the first attempts at a message fail, so that a world need not wait for days. */
export function createReceivers(luck: Luck): Receivers {
  const failed = new Set<string>();
  const receivers: Receivers = { mood: "well", received: new Map(), postFrom };

  function postFrom({ clock }: { clock: NodeClock }): PostWebhook {
    return (url, { headers, timeoutMs }) =>
      new Promise((resolve, reject) => {
        const id = headers["webhook-id"] ?? "";
        const { mood } = receivers;
        const cancel = clock.setTimeout(() => reject(new Error("no answer in time")), timeoutMs);
        if (mood === "hanging" && !failed.has(id)) return void failed.add(id);
        clock.arrive(mood === "slow" ? luck.about(2000) : luck.about(20), () => {
          cancel();
          const isRefused = mood === "failing" && !failed.has(id);
          if (isRefused) failed.add(id);
          else note(url, id);
          resolve({
            status: isRefused ? 500 : 200,
            retryAfter: undefined,
            text: "",
            isPrivate: false,
          });
        });
      });
  }

  function note(url: string, id: string): void {
    const known = receivers.received.get(url) ?? new Map<string, number>();
    known.set(id, (known.get(id) ?? 0) + 1);
    receivers.received.set(url, known);
  }

  return receivers;
}
