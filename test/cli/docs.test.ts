import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { EXIT } from "../../src/cli/failure.ts";
import { createProgram } from "../../src/cli/program.ts";
import { temporaryFolder } from "../support/process.ts";
import { COMMAND_LINE_IN_SHELL } from "../support/program.ts";
import { KEY, startServer } from "../support/server.ts";

const docs = () => Bun.file("docs/command-line.md").text();

test("the commands of docs/command-line.md work as pasted", async () => {
  // Embedded servers take seconds to start, and have separate tests.
  await using app = await startServer();
  using folder = temporaryFolder();
  const blocks = [...(await docs()).matchAll(/^```bash\n(.*?)^```$/gms)].map(([, text]) => text);
  const define = `gptrunner() { ${COMMAND_LINE_IN_SHELL} "$@"; }\n`;
  const shell = Bun.spawn(["bash", "-euo", "pipefail", "-c", define + blocks.join("\n")], {
    cwd: folder.path,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: folder.path,
      GPTRUNNER_SERVER: app.url,
      GPTRUNNER_KEY: KEY,
    },
    stderr: "ignore",
    stdout: "pipe",
  });
  const said = await new Response(shell.stdout).text();
  expect([await shell.exited, blocks.length]).toEqual([0, 2]);
  expect(said).toContain("sched-");
  for (const name of ["cities-results.csv", "out.csv"])
    expect(existsSync(join(folder.path, name))).toBe(true);
});

test("docs/command-line.md has a row for each exit code", async () => {
  const rows = [...(await docs()).matchAll(/^\| ([\d, ]+?) +\| /gm)];
  const codes = rows.flatMap(([, cell = ""]) => cell.split(", ").map(Number));
  expect(codes).toEqual(Object.values(EXIT));
});

test("every command takes --json", () => {
  const without: string[] = [];
  let commands = 0;
  function look({ commands: parts, options }: ReturnType<typeof createProgram>, name: string) {
    for (const part of parts)
      look(part as ReturnType<typeof createProgram>, `${name} ${part.name()}`);
    if (parts.length > 0) return;
    commands++;
    if (!options.some(({ long }) => long === "--json")) without.push(name);
  }
  look(createProgram(false), "gptrunner");
  expect([without, commands > 40]).toEqual([[], true]);
});
