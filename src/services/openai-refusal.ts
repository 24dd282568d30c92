import { AppError, type ErrorCode } from "../errors.ts";

/** What OpenAI's API says of an error besides its message. */
export type OpenAiWords = { param: string | null; code: string | null };

/** A refusal in the words of OpenAI's API; of which kind it is, its status says. */
export function refusal(
  kind: ErrorCode,
  message: string,
  { param = null, code = null }: Partial<OpenAiWords> = {},
): AppError {
  return new AppError(kind, message, { openAi: { param, code } satisfies OpenAiWords });
}

/** A parameter that cannot be so. */
export function badParam(param: string, message: string, code = "invalid_value"): AppError {
  return refusal("VALIDATION_ERROR", message, { param, code });
}
