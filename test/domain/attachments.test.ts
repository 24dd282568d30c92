import { describe, expect, test } from "bun:test";

import { attachedTokens, partsOf, withParts } from "../../src/domain/attachments.ts";
import { cacheKeyOf } from "../../src/domain/cache-key.ts";
import { mediaTypeOf } from "../../src/domain/media.ts";
import { guessSize } from "../../src/domain/token-counter.ts";
import { readUploadRef, uploadRef } from "../../src/domain/upload-refs.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const FACTS = { type: "image/png", bytes: 10, sha256: "a".repeat(64) };
const CHAT = "/v1/chat/completions";

const asking = (...content: JsonObject[]): JsonObject => ({
  messages: [{ role: "user", content }],
});
const image = (url: string) => ({ type: "image_url", image_url: { url } });
const file = (file_data: string) => ({ type: "file", file: { filename: "a", file_data } });

describe("a reference to an upload", () => {
  test("can be read back, and no other text is a reference", () => {
    expect(readUploadRef(uploadRef("file-1"))).toEqual({ id: "file-1", facts: null });
    expect(readUploadRef(uploadRef("file-1", FACTS))).toEqual({ id: "file-1", facts: FACTS });
    for (const text of ["file-1", "upload:file-../x", "upload:file-1?type=a", "upload:file-A"])
      expect(readUploadRef(text)).toBeNull();
  });

  test("counts in a cache key by its content, wherever an image or document may be", () => {
    const keyOf = (body: JsonObject) => cacheKeyOf(CHAT, body, false);
    const [one, same] = [uploadRef("file-1", FACTS), uploadRef("file-2", FACTS)];
    const other = uploadRef("file-1", { ...FACTS, sha256: "b".repeat(64) });
    expect(keyOf(asking(image(one)))).toBe(keyOf(asking(image(same))));
    expect(keyOf(asking(image(one)))).not.toBe(keyOf(asking(image(other))));
    expect(keyOf(asking(image(one)))).not.toBe(keyOf(asking(file(one))));
    const said = (text: string) => asking({ type: "text", text });
    expect(keyOf(said(one))).not.toBe(keyOf(said(same)));
  });
});

test("a URL that is too long is refused", () => {
  const cell = `https://x.org/${"a".repeat(9000)}`;
  const attach = () => partsOf([{ column: "c", type: "image" }], new Map([["c", cell]]));
  expect(attach).toThrow("8192 is the most");
});

test("parts are added once, however their upload is referred to", () => {
  const there = asking(image(uploadRef("file-1", FACTS)), file("https://x.org/a"))["messages"];
  const messages = there as JsonObject[];
  expect(withParts(messages, [image(uploadRef("file-1")), file("https://x.org/a")])).toBe(messages);
  const added = withParts(messages, [image(uploadRef("file-2"))]);
  expect(added?.[0]?.["content"]).toHaveLength(3);
});

test("tokens of images and documents are estimated", () => {
  const upload = (type: string, bytes: number) => uploadRef("file-1", { ...FACTS, type, bytes });
  expect(attachedTokens(asking(image(upload("image/png", 9_000_000))))).toBe(1000);
  expect(attachedTokens(asking(image("https://x.org/a.png"), file("https://x.org/a")))).toBe(2000);
  expect(attachedTokens(asking(file(upload("text/plain", 4000))))).toBe(1000);
  expect(attachedTokens(asking(file(upload("application/pdf", 50_000))))).toBe(2000);
  const body = JSON.stringify(asking(image(`data:image/png;base64,${"A".repeat(100_000)}`)));
  expect(guessSize({ model: "m", body }).promptTokens).toBeLessThan(100);
});

test.each([
  ["a.txt", "89504e470d0a1a0a00", "image/png"],
  ["a", "ffd8ffe0", "image/jpeg"],
  ["a", "47494638396101", "image/gif"],
  ["a", `52494646${"00".repeat(4)}57454250`, "image/webp"],
  ["a.png", "255044462d312e37", "application/pdf"],
  ["notes.TXT", "68656c6c6f", "text/plain"],
  ["a.png", "68656c6c6f", "application/octet-stream"],
])("the media type of %s with %s is %s", (name, start, type) => {
  expect(mediaTypeOf(name, Buffer.from(start, "hex"))).toBe(type);
});
