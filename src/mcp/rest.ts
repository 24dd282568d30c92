/** What tools send to the REST API. */
export type RestOptions = {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  query?: Record<string, string | number | boolean | undefined>;
  /** Sent as JSON, or as it is where it is a form. */
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Doing it twice is the same as once. */
  isRepeatable?: boolean;
};

/** The REST API of a server, wherever it runs. Paths are those below `/api/v1`. Throws `Refusal`. */
export type Rest = {
  /** What the answer's envelope holds. */
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

/** The path of a thing, and of what is below it. */
export function pathOf(kind: "batches" | "tasks" | "scheduled-tasks", id: string, rest = "") {
  return `/${kind}/${encodeURIComponent(id)}${rest}`;
}
