/** JSON without null, which in a patch removes a member. */
type PatchableValue =
  | string
  | number
  | boolean
  | readonly PatchableValue[]
  | { readonly [name: string]: PatchableValue };
export type PatchableObject = { readonly [name: string]: PatchableValue };

/** The JSON Merge Patch (RFC 7396) that turns `before` into `after`; `undefined` if both are equal. */
export function mergePatch(before: PatchableObject, after: PatchableObject): object | undefined {
  // From entries, because a member may be called `__proto__`.
  const changes: [string, unknown][] = Object.keys(before)
    .filter((name) => !Object.hasOwn(after, name))
    .map((name) => [name, null]);
  for (const [name, value] of Object.entries(after)) {
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    if (isObject(old) && isObject(value)) {
      const inner = mergePatch(old, value);
      if (inner) changes.push([name, inner]);
    } else if (JSON.stringify(old) !== JSON.stringify(value)) changes.push([name, value]);
  }
  return changes.length > 0 ? Object.fromEntries(changes) : undefined;
}

function isObject(value: PatchableValue | undefined): value is PatchableObject {
  return typeof value === "object" && !Array.isArray(value);
}
