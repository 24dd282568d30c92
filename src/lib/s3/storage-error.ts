/** An operation on the store of files failed. The message is a clause for people, without anything secret. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  /** Whether the error is transient: the same operation may succeed later. */
  readonly isPassing: boolean;
  /** The server's error code, if there is one. */
  readonly code: string | undefined;

  constructor(message: string, { isPassing, code }: { isPassing: boolean; code?: string }) {
    super(message);
    this.isPassing = isPassing;
    this.code = code;
  }
}
