import { expect } from "bun:test";

import OpenAI from "openai";

/** The error with which a call of the SDK is refused. The SDK sends the request only when its promise is awaited. */
export async function refusal(
  call: PromiseLike<unknown>,
): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  return expect.unreachable("it was not refused");
}
