import { AppError, type ErrorCode } from "../errors.ts";

/** The fields of an OpenAI error besides its message. */
export type OpenAiWords = { param: string | null; code: string | null };

/** An error in the words of OpenAI's API; its status determines its type. */
export function refusal(
  kind: ErrorCode,
  message: string,
  { param = null, code = null }: Partial<OpenAiWords> = {},
): AppError {
  return new AppError(kind, message, { openAi: { param, code } satisfies OpenAiWords });
}

/** An error for an invalid parameter; `null`: for the whole body. */
export function badParam(param: string | null, message: string, code = "invalid_value"): AppError {
  return refusal("VALIDATION_ERROR", message, { param, code });
}
