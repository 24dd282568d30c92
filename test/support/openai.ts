import { expect } from "bun:test";

import OpenAI from "openai";

/** What a call of the SDK is refused with. Its promises start nothing before somebody waits for them. */
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
