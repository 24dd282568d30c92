/** The options of a tool's request to the REST API. */
export type RestOptions = {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  query?: Record<string, string | number | boolean | undefined>;
  /** Sent as JSON, or unchanged if it is a form. */
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** The request is idempotent. */
  isRepeatable?: boolean;
};

/** The REST API of a server, embedded or remote. Paths are relative to `/api/v1`. Throws `Refusal`. */
export type Rest = {
  /** The data of the answer's envelope. */
  call<T>(path: string, options?: RestOptions): Promise<T>;
  /** The answer itself, for event streams. */
  open(path: string, options?: RestOptions): Promise<Response>;
};

/** An error of the API. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: string;
  readonly details: Record<string, unknown>;

  constructor(code: string, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Whether a call failed with one of these codes of the API. */
export function refusedWith(error: unknown, ...codes: string[]): boolean {
  return error instanceof Refusal && codes.includes(error.code);
}

/** The path of a resource, and of what is below it. */
export function pathOf(kind: "batches" | "tasks" | "scheduled-tasks", id: string, rest = "") {
  return `/${kind}/${encodeURIComponent(id)}${rest}`;
}
