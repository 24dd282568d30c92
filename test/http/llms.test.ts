import { expect, test } from "bun:test";

import { blocksOf } from "../docs/pages.ts";
import { runScript } from "../docs/shell.ts";
import { temporaryFolder } from "../support/process.ts";
import { client, startServer } from "../support/server.ts";

test("an agent that reads /llms.txt without a key finds working commands and existing addresses", async () => {
  using folder = temporaryFolder();
  await using app = await startServer({ DEFAULT_MODEL: "private-model", DATA_DIR: folder.path });
  const { get } = client(app.url, "");
  const { status, headers, text } = await get(`${app.url}/llms.txt`);
  expect([status, headers.get("content-type")]).toEqual([200, "text/plain; charset=utf-8"]);
  expect(text).toStartWith("# GPT Task Runner\n\n> ");
  expect(text).not.toContain("private-model");

  const commands = blocksOf({ path: "llms.txt", text }, "bash").join("\n");
  const said = await runScript(`BASE=http://localhost:3000\n${commands}`, app.url, folder.path);
  expect(said).toContain('"status":"completed"');
  expect(said).toContain("event: batch.completed");
  expect(said).toContain("city,country,status,");

  const links = [...text.matchAll(/\]\(([^)]*)\)/g)].map(([, path]) => `${app.url}/${path}`);
  const answers = await Promise.all(links.map((link) => fetch(link)));
  expect(answers.map(({ status }) => status)).toEqual([405, 200, 200, 401]);
  const { toolsFor } = await import("../../src/mcp/tools.ts");
  for (const name of toolsFor({ isLocal: false }).keys()) expect(text).toContain(name);
});
