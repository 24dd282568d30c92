/** The names of the functions that the source of a module exports. */
export function storeFunctions(source: string): string[] {
  return [...source.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name = ""]) => name);
}

/** The names of the statements that the source of a module exports as they stand. */
export function storeStatements(source: string): string[] {
  return [...source.matchAll(/^export const (\w+): Statement/gm)].map(([, name = ""]) => name);
}
