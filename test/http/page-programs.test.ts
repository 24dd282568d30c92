import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";

import { type Language, programFor } from "../../src/http/monitor/app/workbench/programs.ts";
import { temporaryFolder } from "../support/process.ts";
import { COMMAND_LINE_IN_SHELL } from "../support/program.ts";
import { startProvider } from "../support/provider.ts";
import { KEY, startServer } from "../support/server.ts";

const FILE = `it's "spring"; 東京.csv`;
const PROMPT = `It's "{{city}}": \\ $HOME {{notes}} """`;

const provider = await startProvider(({ body }) => ({
  id: "x",
  object: "chat.completion",
  model: body.model,
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: '{"mood":"good","why":"sun"}' },
      finish_reason: "stop",
    },
  ],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
}));
const app = await startServer(provider.env);
const folder = temporaryFolder();
await Bun.write(join(folder.path, FILE), "city,notes\nParis,nice\nOslo,cold\n");
await Bun.write(join(folder.path, "gptrunner"), `#!/bin/sh\nexec ${COMMAND_LINE_IN_SHELL} "$@"\n`);
Bun.spawnSync(["chmod", "+x", join(folder.path, "gptrunner")]);
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const hasRequests =
  Bun.which("python3") !== null &&
  Bun.spawnSync(["python3", "-c", "import requests"]).exitCode === 0;

describe("the program that the workbench copies makes the prepared run, as", () => {
  const run = (language: Language, command: string[], file: string) => async () => {
    const program = programFor(language, {
      base: `${app.url}/api/v1`,
      file: FILE,
      config: { promptTemplate: PROMPT, output: ["mood", "why"], temperature: 0.5 },
      isDryRun: false,
    });
    await Bun.write(join(folder.path, file), program);
    const before = provider.requests.length;
    const child = Bun.spawn([...command, file], {
      cwd: folder.path,
      env: {
        PATH: `${folder.path}:${process.env["PATH"]}`,
        KEY,
        GPTRUNNER_KEY: KEY,
        HOME: folder.path,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [said, code] = await Promise.all([
      Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]),
      child.exited,
    ]);
    expect([code, said]).toEqual([0, said]);
    const asked = provider.requests
      .slice(before)
      .map(({ prompt, body }) => [prompt, body.temperature]);
    expect(asked.toSorted()).toEqual([
      [`It's "Oslo": \\ $HOME cold """`, 0.5],
      [`It's "Paris": \\ $HOME nice """`, 0.5],
    ]);
  };
  test.serial("curl", run("curl", ["sh"], "run.sh"));
  test.serial("TypeScript", run("typescript", [process.execPath], "run.ts"));
  test.serial("commands", run("cli", ["sh"], "command.sh"));
  test.serial.skipIf(!hasRequests)("Python", run("python", ["python3"], "run.py"));
});
