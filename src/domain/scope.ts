/** What an API key may do; each scope includes those before it. */
export const SCOPES = ["read", "write", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Whether a key with these scopes may do what needs `scope`. */
export function allows(scopes: readonly Scope[], scope: Scope): boolean {
  const needed = SCOPES.indexOf(scope);
  return scopes.some((one) => SCOPES.indexOf(one) >= needed);
}
