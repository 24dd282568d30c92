import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { Terms } from "../../src/domain/provider.ts";
import { orCrash } from "../../src/lib/background.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import type { Json } from "./server.ts";

/** The terms of a provider for which nothing is configured. */
export const TERMS: Omit<Terms, "name"> = {
  models: null,
  limits: [],
  prices: [],
  maxConcurrency: null,
};

export type ProviderRequest = {
  path: string;
  body: Json;
  /** The raw text of the body. */
  text: string;
  headers: IncomingMessage["headers"];
  /** The last user message. */
  prompt: string;
  /** How many earlier requests had this prompt. */
  earlier: number;
};

/** What the provider does with a request; for `undefined` it sends the usual answer. */
export type Behaviour = (
  request: ProviderRequest,
  response: ServerResponse,
) => Json | undefined | Promise<Json | undefined>;

/** An OpenAI-compatible provider on its own port. The test sets its behaviour, socket faults included. */
export async function startProvider(behave: Behaviour = () => undefined) {
  const requests: ProviderRequest[] = [];
  const counts = new Map<string, number>();
  const state = { open: 0, mostOpen: 0, behave };
  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    if (incoming.url?.endsWith("/models")) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "no list here" } }));
      return;
    }
    const text = Buffer.concat(chunks).toString();
    const body = JSON.parse(text || "{}");
    const prompt = String(
      body.messages?.findLast((message: Json) => message.role === "user")?.content ??
        body.input ??
        body.prompt,
    );
    const earlier = counts.get(prompt) ?? 0;
    counts.set(prompt, earlier + 1);
    const { url: path = "", headers } = incoming;
    const request = { path, body, text, headers, prompt, earlier };
    requests.push(request);
    state.open++;
    state.mostOpen = Math.max(state.mostOpen, state.open);
    response.on("close", () => state.open--);
    const said = (await state.behave(request, response)) ?? chatAnswer(request);
    if (response.writableEnded || response.destroyed || response.headersSent) return;
    response.writeHead(200, {
      "content-type": "application/json",
      "x-request-id": `req_${requests.length}`,
    });
    response.end(JSON.stringify(said));
  }
  const server = createServer((incoming, response) =>
    orCrash(createSystemClock(), answer(incoming, response)),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    env: { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: "sk-test" },
    requests,
    counts,
    state,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A chat completion whose answer repeats the prompt. */
export function chatAnswer({ prompt, body }: Pick<ProviderRequest, "prompt" | "body">): Json {
  return {
    id: "chatcmpl-test",
    object: "chat.completion",
    created: 1_700_000_000,
    model: body.model,
    choices: [
      { index: 0, message: { role: "assistant", content: `re: ${prompt}` }, finish_reason: "stop" },
    ],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  };
}

/** Answers with an error in OpenAI's format. */
export function fail(
  response: ServerResponse,
  status: number,
  error: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): null {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(
    JSON.stringify({
      error: { message: `status ${status}`, type: null, param: null, code: null, ...error },
    }),
  );
  return null;
}

/** Never answers, so that the caller must give up. */
export function hang(): Promise<never> {
  return new Promise(() => {});
}

/** Answers the first `answered` requests after 20 ms each and never answers the others, so that work never ends. */
export function slowAndStuck(answered: number): Behaviour {
  let asked = 0;
  return async (request) => {
    if (++asked > answered) return hang();
    await Bun.sleep(20);
    return chatAnswer(request);
  };
}

/** A promise that the caller resolves with `open`. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
