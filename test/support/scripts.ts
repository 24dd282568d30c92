import { chatAnswer, fail, type ProviderRequest, startProvider } from "./provider.ts";

/** The first line of the first message. It stays the same when a request is repaired or gets instructions. */
function topicOf({ body }: Pick<ProviderRequest, "body">): string {
  return String(body.messages[0].content).split("\n")[0] ?? "";
}

/** A provider with a list of answers for each prompt. It gives them in turn, then repeats the last one. */
export async function startScripted(otherwise: string) {
  const said = new Map<string, string[]>();
  /** The finish reason by prompt or by model, if it is not `stop`. */
  const finishes = new Map<string, string>();
  /** By model, the types of `response_format` that it refuses. */
  const refusals = new Map<string, string[]>();
  /** Prompts whose first answer the provider itself rejects because it is not JSON, as Groq does. */
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
