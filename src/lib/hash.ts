import { hash } from "node:crypto";

/** SHA-256 of UTF-8 text, 64 lower-case hexadecimal characters. */
export function sha256Hex(text: string): string {
  return hash("sha256", text, "hex");
}

/**
 * A 53-bit hash of a text, to distinguish a million texts in little memory: two rounds of FNV-1a with different bases,
 * combined. Among a million different texts the chance of a collision is about one in twenty thousand, so a match
 * must be verified.
 */
export function hash53(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x9e3779b1;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b) ^ (low >>> 15);
  }
  return (high >>> 11) * 0x100000000 + (low >>> 0);
}
