import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";

import { CAUSES } from "../../src/domain/failure.ts";
import { uploadRef } from "../../src/domain/upload-refs.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { createSystemRandom } from "../../src/lib/random.ts";
import type { ReadUpload } from "../../src/lib/upload-reader.ts";
import { bytesToInline } from "../../src/providers/inline.ts";
import { createCaller } from "../../src/providers/openai.ts";
import { chatAnswer, TERMS } from "../support/provider.ts";
import type { Json } from "../support/server.ts";

const PNG = Buffer.from("the bytes of an image");
const sha256 = createHash("sha256").update(PNG).digest("hex");
const REF = uploadRef("file-1", { type: "image/png", bytes: PNG.length, sha256 });
const IMAGE = { type: "image_url", image_url: { url: REF } };
const DOCUMENT = { type: "file", file: { filename: "a.png", file_data: REF } };

/** Calls a provider at an address, and returns what the provider received. */
async function callAt(
  baseUrl: string,
  content: object[],
  readUpload: ReadUpload = async () => PNG,
  more: object = {},
  refuse: (body: Json) => object | null = () => null,
) {
  const received: Json[] = [];
  const send = createCaller(
    { ...TERMS, kind: "openai", name: "p", baseUrl, apiKeys: ["sk-test"], headers: {} },
    {
      clock: createSystemClock(),
      random: createSystemRandom(),
      fetch: async (_url, init) => {
        const body: Json = JSON.parse(String(init?.body));
        received.push(body);
        const error = refuse(body);
        return Response.json(error ?? chatAnswer({ prompt: "", body }), {
          status: error ? 400 : 200,
        });
      },
    },
  );
  const result = await send({
    endpoint: "/v1/chat/completions",
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content }], ...more }),
    timeoutMs: 5000,
    isChecked: false,
    readUpload,
    abort: new AbortController(),
    onDelta: () => {},
  });
  const cause = result.ok ? null : result.failure.cause;
  return { result, received, cause, isRetryable: cause !== null && CAUSES[cause].retryable };
}

const OPENAI = "https://api.openai.com/v1";
const ANTHROPIC = "https://api.anthropic.com/v1";
const URL_OF_PNG = `data:image/png;base64,${PNG.toString("base64")}`;

describe("uploads in a request", () => {
  test("are read when the request is sent, each once", async () => {
    const read: string[] = [];
    const { received } = await callAt(OPENAI, [IMAGE, DOCUMENT], async (id, most) => {
      read.push(`${id} ${most}`);
      return PNG;
    });
    expect(read).toEqual([`file-1 ${PNG.length}`]);
    expect(received[0].messages[0].content).toEqual([
      { type: "image_url", image_url: { url: URL_OF_PNG } },
      { type: "file", file: { filename: "a.png", file_data: URL_OF_PNG } },
    ]);
    expect(bytesToInline(JSON.stringify([IMAGE, DOCUMENT]))).toBe(2 * PNG.length);
  });

  test("are sent again with the parameter that the provider accepts", async () => {
    const { received, result } = await callAt(
      OPENAI,
      [IMAGE],
      undefined,
      { max_tokens: 5 },
      (body) =>
        "max_tokens" in body
          ? { error: { message: "max_tokens is not supported", param: "max_tokens" } }
          : null,
    );
    expect(result).toMatchObject({
      ok: true,
      adjusted: ["max_tokens sent as max_completion_tokens"],
    });
    expect(received).toHaveLength(2);
    expect(received[1].messages[0].content[0].image_url.url).toBe(URL_OF_PNG);
  });

  test("are not sent if they are deleted or cannot be read now", async () => {
    const gone = await callAt(OPENAI, [IMAGE], async () => null);
    expect([gone.cause, gone.isRetryable, gone.received]).toEqual([
      "attachment_missing",
      false,
      [],
    ]);
    const busy = await callAt(OPENAI, [IMAGE], async () => {
      throw Object.assign(new Error("too many open files, at /secret/path"), { code: "EMFILE" });
    });
    expect([busy.cause, busy.isRetryable, busy.received]).toEqual([
      "attachment_unreadable",
      true,
      [],
    ]);
    expect(JSON.stringify(busy.result)).not.toContain("/secret");
  });

  test("are refused as documents by an API that would answer without them, and sent as images", async () => {
    const refused = await callAt(ANTHROPIC, [DOCUMENT]);
    expect([refused.cause, refused.received]).toEqual(["attachment_unsupported", []]);
    const { received } = await callAt(ANTHROPIC, [{ type: "text", text: '"type":"file"' }, IMAGE]);
    expect(received[0].messages[0].content[1].image_url.url).toBe(URL_OF_PNG);
  });
});
