/** The program cannot start; the message is one sentence for the person who started it. */
export class StartError extends Error {
  override readonly name: string = "StartError";
}

/** Nothing was done because it would do harm now: another process is at work, or something is in the way. */
export class Refused extends StartError {
  override readonly name = "Refused";
}
