/** The names of the exported functions in the source of a module. */
export function storeFunctions(source: string): string[] {
  return [...source.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name = ""]) => name);
}

/** The names of the exported SQL constants in the source of a module. */
export function storeStatements(source: string): string[] {
  return [...source.matchAll(/^export const (\w+): Statement/gm)].map(([, name = ""]) => name);
}

/** The names of exported arrow functions, whose calls cannot be recorded, because they are constants. */
export function arrowFunctions(source: string): string[] {
  return [...source.matchAll(/^export const (\w+) = (?:async )?(?:\(|\w+ =>)/gm)].map(
    ([, name = ""]) => name,
  );
}
