import { type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";

/** SQL that is true if a column contains a text, ignoring case. SQLite's `lower` handles only ASCII letters. */
export function contains(column: SQLiteColumn, text: string): SQL {
  return sql`${column} GLOB ${`*${Array.from(text, anyCase).join("")}*`}`;
}

/** A GLOB pattern for a character in upper and lower case. */
function anyCase(character: string): string {
  const lower = character.toLowerCase();
  const upper = character.toUpperCase();
  const cases = [character, lower, upper, upper.toLowerCase(), lower.toUpperCase()];
  // Two letters have the same capital: the second stands at the end of a word.
  if (lower === "σ" || lower === "ς") cases.push("σ", "ς");
  const single = new Set(cases.filter((one) => Array.from(one).length === 1));
  if (single.size > 1) return `[${[...single].join("")}]`;
  return /[*?[]/.test(character) ? `[${character}]` : character;
}
