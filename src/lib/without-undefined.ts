/** The fields that have a value, so that a change leaves the others as they are by then. */
export function withoutUndefined<Fields extends object>(fields: Fields) {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  // The entries have the same names, and no `undefined` values.
  return Object.fromEntries(entries) as {
    [Field in keyof Fields]?: Exclude<Fields[Field], undefined>;
  };
}
