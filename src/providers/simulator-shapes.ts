import type { JsonObject } from "../lib/json.ts";

/** The simulator's answer, independent of the endpoint. */
export type Composed = {
  id: string;
  model: string;
  /** The service tier, if the request has one. */
  served: JsonObject;
  text: string;
  finish: "stop" | "length";
  prompt: number;
  completion: number;
};

/** The answer of an endpoint in one piece, and as the chunks of a stream. */
export type Shape = {
  whole: (answer: Composed) => JsonObject;
  chunks: (answer: Composed) => JsonObject[];
};

export const CREATED = 1_750_000_000;

const usage = ({ prompt, completion }: Composed): JsonObject => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});

const pieces = ({ text }: Composed) => text.split(/(?<=\s)/);

export const CHAT: Shape = {
  whole: (answer) => ({
    id: `chatcmpl-${answer.id}`,
    object: "chat.completion",
    created: CREATED,
    model: answer.model,
    ...answer.served,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: answer.text, refusal: null },
        finish_reason: answer.finish,
      },
    ],
    usage: usage(answer),
  }),
  chunks: (answer) => {
    const head = {
      id: `chatcmpl-${answer.id}`,
      object: "chat.completion.chunk",
      created: CREATED,
      model: answer.model,
      ...answer.served,
    };
    const choice = (delta: JsonObject, finish: string | null) => ({
      ...head,
      choices: [{ index: 0, delta, finish_reason: finish }],
    });
    return [
      choice({ role: "assistant", content: "" }, null),
      ...pieces(answer).map((content) => choice({ content }, null)),
      choice({}, answer.finish),
      { ...head, choices: [], usage: usage(answer) },
    ];
  },
};

export const COMPLETIONS: Shape = {
  whole: (answer) => ({
    id: `cmpl-${answer.id}`,
    object: "text_completion",
    created: CREATED,
    model: answer.model,
    ...answer.served,
    choices: [{ index: 0, text: answer.text, logprobs: null, finish_reason: answer.finish }],
    usage: usage(answer),
  }),
  chunks: (answer) => {
    const head = {
      id: `cmpl-${answer.id}`,
      object: "text_completion",
      created: CREATED,
      model: answer.model,
      ...answer.served,
    };
    const choice = (text: string, finish: string | null) => ({
      ...head,
      choices: [{ index: 0, text, finish_reason: finish }],
    });
    return [
      ...pieces(answer).map((text) => choice(text, null)),
      choice("", answer.finish),
      { ...head, choices: [], usage: usage(answer) },
    ];
  },
};

/** An endpoint that may not charge for tokens reports none. */
export const OTHERS: Shape = {
  ...COMPLETIONS,
  whole: (answer) => {
    const { usage: _, ...rest } = COMPLETIONS.whole(answer);
    return rest;
  },
};

export const RESPONSES: Shape = {
  whole: (answer) => ({
    id: `resp_${answer.id}`,
    object: "response",
    created_at: CREATED,
    status: answer.finish === "stop" ? "completed" : "incomplete",
    model: answer.model,
    ...answer.served,
    output: [
      {
        id: `msg_${answer.id}`,
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: answer.text, annotations: [] }],
      },
    ],
    usage: {
      input_tokens: answer.prompt,
      output_tokens: answer.completion,
      total_tokens: answer.prompt + answer.completion,
    },
  }),
  chunks: (answer) => [
    ...pieces(answer).map((delta) => ({ type: "response.output_text.delta", delta })),
    { type: "response.completed", response: RESPONSES.whole(answer) },
  ],
};
