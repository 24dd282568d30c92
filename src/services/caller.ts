/** Who makes a request: the row number and public id of an API key, and what it may do. */
export type Caller = { key: number; keyId: string; scopes: readonly string[] };
