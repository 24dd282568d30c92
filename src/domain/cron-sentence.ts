import cronstrue from "cronstrue";

/** A valid cron expression in English; `null` if the library cannot describe it. */
export function describeCron(expression: string): string | null {
  const text = expression.trim();
  // Croner takes both cases everywhere; this library knows nicknames in small letters and `L` and `W` in large ones.
  const cased = text.startsWith("@") ? text.toLowerCase() : text.toUpperCase();
  try {
    return cronstrue.toString(cased, { use24HourTimeFormat: true });
  } catch {
    return null;
  }
}
