import { randomBytes } from "./secrets.ts";

/** A sealed text cannot be opened; the message says why, without any of it. */
class SecretBoxError extends Error {
  override readonly name = "SecretBoxError";
}

export type SecretBox = {
  /** Whether `seal` encrypts. Without a key it only marks the text as plain. */
  isEncrypting: boolean;
  /**
   * The text in the form to store. `about` names what it belongs to (`webhook wh-1`); only the same name opens it
   * again, so a sealed text is useless in another row.
   */
  seal(text: string, about: string): Promise<string>;
  /** The text that `seal` was given, under any of the keys. Throws `SecretBoxError`. */
  open(sealed: string, about: string): Promise<string>;
};

const PLAIN = "v0:";
const SEALED = /^v1:([0-9a-f]{8}):([A-Za-z0-9_-]+)$/;
const IV_BYTES = 12;

/**
 * Encrypts small secrets for storage: AES-256-GCM under a key that HKDF-SHA-256 makes of each passphrase. The first
 * of `passphrases` seals, and all of them open; to replace a key, put the new one in front. Stored as `v1:<which
 * key>:<base64url of IV, ciphertext and tag>`, or as `v0:<text>` if there is no passphrase.
 */
export function createSecretBox(passphrases: readonly string[]): SecretBox {
  const keys = passphrases.map(deriveKey);
  return {
    isEncrypting: keys.length > 0,
    async seal(text, about) {
      const [first] = keys;
      if (!first) return PLAIN + text;
      const { name, key } = await first;
      const iv = randomBytes(IV_BYTES);
      const sealed = await crypto.subtle.encrypt(
        { name: "AES-GCM", iv, additionalData: utf8(about) },
        key,
        utf8(text),
      );
      const bytes = Buffer.concat([iv, new Uint8Array(sealed)]);
      return `v1:${name}:${bytes.toString("base64url")}`;
    },
    async open(sealed, about) {
      if (sealed.startsWith(PLAIN)) return sealed.slice(PLAIN.length);
      const [, name, text = ""] = SEALED.exec(sealed) ?? [];
      if (name === undefined) throw new SecretBoxError("This is not a sealed secret");
      const found = (await Promise.all(keys)).find((key) => key.name === name);
      if (!found)
        throw new SecretBoxError("The secret was sealed with an encryption key that is not set");
      const bytes = Buffer.from(text, "base64url");
      try {
        const opened = await crypto.subtle.decrypt(
          { name: "AES-GCM", iv: bytes.subarray(0, IV_BYTES), additionalData: utf8(about) },
          found.key,
          bytes.subarray(IV_BYTES),
        );
        return new TextDecoder().decode(opened);
      } catch {
        throw new SecretBoxError("The sealed secret was changed, or belongs to something else");
      }
    },
  };
}

async function deriveKey(passphrase: string): Promise<{ name: string; key: CryptoKey }> {
  const material = await crypto.subtle.importKey("raw", utf8(passphrase), "HKDF", false, [
    "deriveBits",
  ]);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8("gpt-task-runner v1") },
    material,
    256 + 32,
  );
  const bytes = new Uint8Array(bits);
  const key = await crypto.subtle.importKey("raw", bytes.subarray(0, 32), "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
  return { name: Buffer.from(bytes.subarray(32)).toString("hex"), key };
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
