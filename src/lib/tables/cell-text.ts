/*
 * Characters that XML cannot have are written as `_x0007_` in a workbook, and a text that looks like that
 * with its first character escaped (ECMA-376, ST_Xstring).
 */

export function unescaped(text: string): string {
  if (!text.includes("_x")) return text;
  return text.replace(/_x([0-9A-Fa-f]{4})_/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/**
 * Must be escaped: control characters except tab and line feed, noncharacters, and texts that look like an escape.
 */
// oxlint-disable-next-line no-control-regex -- the pattern looks for control characters
const UNWRITABLE = /[\0-\x08\x0b-\x1f\uFFFE\uFFFF]|_(?=x[0-9A-Fa-f]{4}_)/g;
// oxlint-disable-next-line no-control-regex
const NEEDS_ESCAPE = /[&<>\0-\x08\x0b-\x1f\uFFFE\uFFFF]|_x/;

/** A text as the content of an XML element of a workbook. */
export function escaped(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  if (!NEEDS_ESCAPE.test(whole)) return whole;
  return whole
    .replace(
      UNWRITABLE,
      (one) => `_x${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}_`,
    )
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
