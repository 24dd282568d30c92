/** Every code an answer may carry, with its HTTP status. */
export const ERROR_STATUS = {
  VALIDATION_ERROR: 400,
  INVALID_CRON_EXPRESSION: 400,
  MODEL_NOT_SUPPORTED: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  TASK_NOT_FOUND: 404,
  BATCH_NOT_FOUND: 404,
  SCHEDULED_TASK_NOT_FOUND: 404,
  EXECUTION_NOT_FOUND: 404,
  FILE_NOT_FOUND: 404,
  WEBHOOK_NOT_FOUND: 404,
  DELIVERY_NOT_FOUND: 404,
  API_KEY_NOT_FOUND: 404,
  SERVICE_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  TASK_ALREADY_EXISTS: 409,
  BATCH_ALREADY_EXISTS: 409,
  TASK_RUNNING: 409,
  TASK_FINISHED: 409,
  BATCH_RUNNING: 409,
  BATCH_FINISHED: 409,
  BATCH_NOT_RUNNING: 409,
  IDEMPOTENCY_KEY_REUSED: 409,
  API_KEY_FIXED: 409,
  LIMIT_REACHED: 409,
  PAYLOAD_TOO_LARGE: 413,
  RANGE_NOT_SATISFIABLE: 416,
  UNSUPPORTED_MEDIA_TYPE: 415,
  RATE_LIMIT_EXCEEDED: 429,
  QUOTA_EXCEEDED: 429,
  INTERNAL_ERROR: 500,
  SERVICE_UNAVAILABLE: 503,
} as const;
export type ErrorCode = keyof typeof ERROR_STATUS;

/** A failure that the caller may see. Anything else that is thrown is a bug and becomes a bare 500. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

export type Issue = { path: string; message: string };

/** The most issues in an answer. */
const MOST_ISSUES = 100;

/** Invalid input, with one entry per problem, up to 100; `total` counts all of them. */
export function invalid(issues: Issue[]): AppError {
  const first = issues[0];
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  const where = first?.path ? `${first.path}: ` : "";
  return new AppError("VALIDATION_ERROR", `${where}${first?.message ?? "Invalid input"}${more}`, {
    issues: issues.slice(0, MOST_ISSUES),
    ...(issues.length > MOST_ISSUES ? { total: issues.length } : {}),
  });
}
