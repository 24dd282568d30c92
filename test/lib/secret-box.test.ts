import { describe, expect, test } from "bun:test";

import { createSecretBox } from "../../src/lib/secret-box.ts";

const NEW = "a passphrase of thirty-two letters or more";
const OLD = "another passphrase, which was used before";

describe("a secret box", () => {
  test("opens its own texts, and encrypts the same text differently each time", async () => {
    const box = createSecretBox([NEW]);
    for (const text of ["", "whsec_c2VjcmV0", "ключ 🔑", "x".repeat(10_000)]) {
      const sealed = await box.seal(text, "webhook wh-1");
      expect(sealed).toMatch(/^v1:[0-9a-f]{8}:[A-Za-z0-9_-]+$/);
      expect(await box.open(sealed, "webhook wh-1")).toBe(text);
      expect(await box.seal(text, "webhook wh-1")).not.toBe(sealed);
    }
  });

  test("opens texts of an earlier key, and texts stored before there was a key", async () => {
    const before = await createSecretBox([]).seal("one", "a");
    const earlier = await createSecretBox([OLD]).seal("two", "a");
    const box = createSecretBox([NEW, OLD]);
    expect(await box.open(before, "a")).toBe("one");
    expect(await box.open(earlier, "a")).toBe("two");
    expect((await box.seal("three", "a")).slice(0, 11)).not.toBe(earlier.slice(0, 11));
  });

  test("does not open a text that was changed, belongs elsewhere, or needs a removed key", async () => {
    const box = createSecretBox([NEW]);
    const sealed = await box.seal("secret", "a");
    const flipped = `${sealed.slice(0, -2)}${sealed.endsWith("AA") ? "BB" : "AA"}`;
    const refused = (open: Promise<string>) => expect(open).rejects.toThrow(/sealed/);
    await refused(box.open(flipped, "a"));
    await refused(box.open(sealed.slice(0, 16), "a"));
    await refused(box.open(sealed, "b"));
    await refused(box.open("secret", "a"));
    await refused(createSecretBox([OLD]).open(sealed, "a"));
    await refused(createSecretBox([]).open(sealed, "a"));
  });
});
