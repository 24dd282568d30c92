import { chatAnswer, fail, type ProviderRequest, startProvider } from "./provider.ts";

/** The first line of the first message: what a request is about, however it is repaired or instructed. */
function topicOf({ body }: Pick<ProviderRequest, "body">): string {
  return String(body.messages[0].content).split("\n")[0] ?? "";
}

/** A provider that says to each prompt one answer after the other, the last one again and again. */
export async function startScripted(otherwise: string) {
  const said = new Map<string, string[]>();
  /** The finish reason of prompts, or of models, that have another than `stop`. */
  const finishes = new Map<string, string>();
  /** Models that refuse a type of `response_format`. */
  const refusals = new Map<string, string[]>();
  /** Prompts to whose first answer the provider says that it is no JSON, as Groq does. */
  const noJson = new Set<string>();
  const provider = await startProvider((request, response) => {
    const { body } = request;
    const type = body.response_format?.type;
    if (refusals.get(body.model)?.includes(type))
      return fail(response, 400, {
        message: `'response_format' of type '${type}' is not supported with this model`,
        param: "response_format",
      });
    const topic = topicOf(request);
    const answers = said.get(topic) ?? [otherwise];
    const turn = provider.requests.filter((one) => topicOf(one) === topic).length;
    if (noJson.has(topic) && (turn === 1 || answers.length === 1))
      return fail(response, 400, {
        message: "Failed to generate JSON. Please adjust your prompt.",
        code: "json_validate_failed",
        failed_generation: answers[0],
      });
    const answer = chatAnswer(request);
    const [choice] = answer.choices;
    choice.message.content = answers[Math.min(turn, answers.length) - 1];
    choice.finish_reason = finishes.get(topic) ?? finishes.get(body.model) ?? "stop";
    return answer;
  });
  return {
    ...provider,
    said,
    finishes,
    refusals,
    noJson,
    callsAbout: (topic: string) => provider.requests.filter((one) => topicOf(one) === topic),
  };
}
