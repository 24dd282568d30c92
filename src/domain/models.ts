/**
 * Whether a model matches one of the patterns; `*` stands for any run of characters.
 * Matching ignores case, as providers do.
 */
export function matchesModel(patterns: readonly string[], model: string): boolean {
  return patterns.some((pattern) => {
    const source = pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*");
    return new RegExp(`^${source}$`, "i").test(model);
  });
}

/** Reasoning models take `max_completion_tokens` and refuse `max_tokens` (OpenAI API reference, chat). */
export function isReasoningModel(model: string): boolean {
  return /^(o\d|gpt-5)/i.test(model) && !/chat/i.test(model);
}
