/** The program cannot start; the message is one sentence for the person who started it. */
export class StartError extends Error {
  override readonly name: string = "StartError";
}

/** Nothing was done because it could do harm: another process is running, or a file is in the way. */
export class Refused extends StartError {
  override readonly name = "Refused";
}
