import process from "node:process";

import { Command, InvalidArgumentError } from "@commander-js/extra-typings";

import { type Clock, createSystemClock } from "../lib/clock.ts";
import {
  connect,
  type Connection,
  type ConnectionOptions,
  type ConnectOptions,
} from "./connect.ts";
import { type Exit, EXIT } from "./failure.ts";
import { type Interrupt, listenForInterrupt } from "./interrupt.ts";
import { createTerminal, type Terminal } from "./terminal.ts";

/** The arguments of a command besides its options. */
export type Tools = { clock: Clock; terminal: Terminal; interrupt: Interrupt; json: boolean };

/** A command that only has subcommands. */
export function group(name: string, description: string) {
  return new Command(name).description(description);
}

/** A command with the option `--json`. */
export function command(name: string, description: string) {
  return new Command(name)
    .description(description)
    .option("--json", "print JSON, for programs", false)
    .allowExcessArguments(false);
}

/** A command that uses a server. */
export function serverCommand(name: string, description: string) {
  return command(name, description)
    .option("--server <url>", "a running server; else GPTRUNNER_SERVER, else one in this process")
    .option("--key <key>", "its API key; better in GPTRUNNER_KEY or a profile")
    .option("--profile <name>", "a server that `profile add` has stored")
    .option("--dir <folder>", "where the server in this process keeps its data (./.gptrunner)")
    .option("--patience <seconds>", "how long a server that is away is waited for (120)", whole(0));
}

/** Parses an option that is a whole number of at least `min`. */
export function whole(min: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} on.`);
  };
}

export function amount(text: string): number {
  const value = Number(text);
  if (/^\d*\.?\d+$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError("It must be a number above 0, such as 2.50.");
}

export function commaList(text: string): string[] {
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (names.length > 0) return names;
  throw new InvalidArgumentError("It must be one or more names with commas between them.");
}

/** Runs a command, and sets the exit code to its result. */
export async function act(json: boolean, work: (tools: Tools) => Promise<Exit | void>) {
  const clock = createSystemClock();
  const interrupt = listenForInterrupt(clock);
  try {
    const exit = await work({ clock, terminal: createTerminal(), interrupt, json });
    process.exitCode = exit ?? EXIT.done;
  } finally {
    interrupt.stop();
  }
}

/** The same with a server, which is closed at the end. */
export function actOn(
  options: ConnectionOptions & { json: boolean },
  work: (connection: Connection, tools: Tools) => Promise<Exit | void>,
  more: Omit<ConnectOptions, "clock"> = {},
): Promise<void> {
  return act(options.json, async (tools) => {
    const connection = await connect(options, { ...more, clock: tools.clock });
    try {
      return await work(connection, tools);
    } finally {
      await connection.close();
    }
  });
}

/** Prints the result of a command: as JSON for programs, or as the text of `describe` for people. */
export function print<T>(
  { terminal, json }: Pick<Tools, "terminal" | "json">,
  data: T,
  describe: (data: T) => string,
): Promise<void> {
  return terminal.out(`${json ? JSON.stringify(data, null, 2) : describe(data)}\n`);
}
