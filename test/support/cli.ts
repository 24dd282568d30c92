import { COMMAND_LINE } from "./program.ts";
import type { Json } from "./server.ts";

/** Starts an operator's command as a separate process. */
export function startCli(env: Record<string, string>, args: string[], program = COMMAND_LINE) {
  return Bun.spawn([...program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs a command to its end. `json` is its output with `--json`. */
export async function runCli(env: Record<string, string>, args: string[], program = COMMAND_LINE) {
  const child = startCli(env, args, program);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const json: Json = args.includes("--json") && out !== "" ? JSON.parse(out) : undefined;
  return { code: await child.exited, out, err, json };
}
