import type { BatchConfig } from "../domain/task-input.ts";
import { invalid } from "../errors.ts";
import { placeholdersIn, unknownIn } from "./table-rows.ts";

type Variables = ReadonlyMap<string, string>;

/**
 * The members that rows of JSON omit and others have. A placeholder for one is empty, as for an empty cell of a table.
 * A placeholder for a name that no row has is refused when all rows have been read, because it is probably misspelt.
 */
export function createOmittedMembers(config: BatchConfig) {
  const asked = placeholdersIn(config);
  const present = new Set<string>();
  const omitted = new Set<string>();
  return {
    /** The variables of a row, with an empty text for each that it omits. */
    fill(variables: Variables, { hasMessages }: { hasMessages: boolean }): Variables {
      let filled: Map<string, string> | undefined;
      for (const [field, names] of asked)
        for (const name of names)
          if (variables.has(name)) present.add(name);
          else {
            // Messages need no prompt.
            if (field !== "promptTemplate" || !hasMessages) omitted.add(name);
            (filled ??= new Map(variables)).set(name, "");
          }
      return filled ?? variables;
    },
    /** Throws `VALIDATION_ERROR` if all rows omit a name. `names`: those of all rows. */
    requireSomewhere(names: string[]): void {
      const isKnown = (name: string) => present.has(name) || !omitted.has(name);
      const issues = unknownIn(config, names, isKnown);
      if (issues.length > 0) throw invalid(issues);
    },
  };
}
