import { banner, type Started } from "./banner.ts";

/** What the process says about its start and its end, besides its log. */
export type Announcer = {
  listening(started: Started): void;
  stopping(signal: string): void;
  stopped(): void;
  /** It could not start, or not stop in good order. `problems` are those of the environment. */
  failed(message: string, problems?: string[]): void;
};

/** As text for people. That it stops is no news to them: they have ended it themselves. */
export const forPeople: Announcer = {
  listening: (started) => console.log(banner(started)),
  stopping: () => undefined,
  stopped: () => undefined,
  failed: (message, problems) =>
    console.error(
      problems ? [`${message}:`, ...problems.map((line) => `  ${line}`)].join("\n") : message,
    ),
};

/** As JSON for programs: a line for each event, and errors like those of the other commands. */
export const forPrograms: Announcer = {
  listening: (started) => console.log(JSON.stringify({ event: "listening", ...started })),
  stopping: (signal) => console.log(JSON.stringify({ event: "stopping", signal })),
  stopped: () => console.log(JSON.stringify({ event: "stopped" })),
  failed: (message, problems) =>
    console.error(
      JSON.stringify({
        error: { code: "FAILED", message, details: problems ? { problems } : {} },
      }),
    ),
};
