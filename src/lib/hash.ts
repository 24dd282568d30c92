import { createHash } from "node:crypto";

/** SHA-256 of UTF-8 text, 64 lower-case hexadecimal characters. */
export function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
