/** An error of the server, with its message, or why there was no answer (`UNAVAILABLE`, with status 0). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** HTTP status. */
  readonly status: number;
  /** Such as `VALIDATION_ERROR`; docs/errors.md has all of them. */
  readonly code: string;
  /** The issues by field, and the id of the request. */
  readonly details: Record<string, unknown>;

  constructor(
    status: number,
    code: string,
    message: string,
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}
