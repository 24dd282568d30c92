import { createHmac } from "node:crypto";

import { randomBytes } from "./secrets.ts";

/** A `whsec_` secret is not base64. */
export class BadSecret extends Error {
  override readonly name = "BadSecret";
}

/**
 * The headers of a delivery under Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): one
 * signature for each secret, over id, time (Unix seconds) and body. Throws `BadSecret`.
 */
export function signWebhook(
  message: { id: string; timestamp: number; body: string },
  secrets: readonly string[],
): Record<string, string> {
  const { id, timestamp, body } = message;
  const signatures = secrets.map((secret) => {
    const hmac = createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.${body}`);
    return `v1,${hmac.digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": signatures.join(" "),
  };
}

const PREFIX = "whsec_";

/** The key of a secret: `whsec_` and base64 is decoded, as verifiers do; any other text is used as it is. */
function keyOf(secret: string): Buffer {
  if (!secret.startsWith(PREFIX)) return Buffer.from(secret);
  const base64 = secret.slice(PREFIX.length);
  if (!/^[A-Za-z0-9+/]{8,}={0,2}$/.test(base64) || base64.length % 4 === 1) throw new BadSecret();
  return Buffer.from(base64, "base64");
}

/** Throws `BadSecret` if a secret cannot sign. */
export function checkSecret(secret: string): void {
  keyOf(secret);
}

export function newSecret(): string {
  return PREFIX + Buffer.from(randomBytes(32)).toString("base64");
}
