import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { createProgram } from "../../src/cli/program.ts";
import { ALERT_CODES } from "../../src/domain/alert.ts";
import { EVENT_TYPES } from "../../src/domain/event.ts";
import { CAUSES } from "../../src/domain/failure.ts";
import { Environment } from "../../src/environment.ts";
import { ERROR_STATUS } from "../../src/errors.ts";
import { toolsFor } from "../../src/mcp/tools.ts";
import { blocksOf, readPage } from "./pages.ts";

test("docs/configuration.md has a row for each environment variable, with its default", () => {
  const { text } = readPage("docs/configuration.md");
  const rows = [...text.matchAll(/^\| `([A-Z0-9_]+)` +\| (.*?) +\|/gm)];
  const shown = Object.fromEntries(
    rows.map(([, name, value]) => [name, value?.replaceAll("`", "")]),
  );
  const expected = Object.fromEntries(
    Object.entries(Environment.shape).map(([name, schema]) => {
      const fallback = schema.safeParse(undefined).data ?? schema.meta()?.["default"] ?? "";
      return [name, String(fallback)];
    }),
  );
  expect(shown).toEqual(expected);
});

test(".env.example has the same variables", async () => {
  const text = await Bun.file(".env.example").text();
  const names = [...text.matchAll(/^#? ?([A-Z0-9_]+)=/gm)].map(([, name]) => name);
  expect(names.toSorted()).toEqual(Object.keys(Environment.shape).toSorted());
});

test("docs/webhooks-and-events.md has a row for each type of event", () => {
  const [, part = ""] = readPage("docs/webhooks-and-events.md").text.split(
    "\n## Types of events\n",
  );
  const [table = ""] = part.split("\n## ");
  const types = [...table.matchAll(/^\| `([a-z_]+\.[a-z]+)` +\|/gm)].map(([, type]) => type);
  expect(types).toEqual([...EVENT_TYPES]);
});

test.each(["docs/webhooks-and-events.md", "docs/operations.md"])(
  "%s has a row for each alert",
  (path) => {
    const [, part = ""] = readPage(path).text.split("\n## Alerts\n");
    const codes = [...part.matchAll(/^\| `([a-z_]+\.[a-z_]+)` +\|/gm)].map(([, code]) => code);
    expect(codes).toEqual([...ALERT_CODES]);
  },
);

test("docs/operations.md has a row for each of the operator's commands", () => {
  const { text } = readPage("docs/operations.md");
  const commands = [...text.matchAll(/^\| `bun run admin (\w+)` +\|/gm)].map(([, name]) => name);
  const admin = createProgram(false).commands.find((command) => command.name() === "admin");
  const names = (admin?.commands ?? []).map((one) => one.name());
  expect(commands.toSorted()).toEqual(names.toSorted());
});

test("docs/errors.md has a row for each code, with its status, and whether it is retried", () => {
  const { text } = readPage("docs/errors.md");
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` +\| (\w+) +\|/gm)];
  const shown = Object.fromEntries(rows.map(([, code = "", value]) => [code, value]));
  const expected: Record<string, string> = {};
  for (const [code, status] of Object.entries(ERROR_STATUS)) expected[code] = String(status);
  for (const { code, retryable } of Object.values(CAUSES))
    expected[code] = retryable ? "yes" : "no";
  expect(shown).toEqual(expected);
});

/** Kinds of gateways and proxies of which the corpus has cases, which are no servers to point at. */
const NO_SERVERS = new Set([
  "Proxy",
  "proxy",
  "Cloudflare",
  "Open WebUI",
  "AWS API Gateway",
  "Azure API Management",
  "Envoy",
  "Kong",
]);

test("docs/providers.md has a row for each server whose answers the tests have, without an empty cell", () => {
  const [, part = ""] = readPage("docs/providers.md").text.split("\n## Works with\n");
  const rows = part
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .map((cells) => cells.slice(1, -1));
  expect(rows[0]?.[0]).toBe("Server");
  expect(rows.filter((row) => row.length !== 4 || row.includes(""))).toEqual([]);
  const shown = rows.map(([server]) => server).join();
  const files = new Bun.Glob("*.json").scanSync("test/providers/corpus");
  const servers = new Set(
    [...files].map((file): string => {
      const text = readFileSync(join("test/providers/corpus", file), "utf8");
      return JSON.parse(text).server;
    }),
  );
  const missing = [...servers].filter((name) => !NO_SERVERS.has(name) && !shown.includes(name));
  expect(missing).toEqual([]);
});

test("docs/agents.md has a row for each tool, with the scope that it needs", () => {
  const { text } = readPage("docs/agents.md");
  const rows = [...text.matchAll(/^\| `([a-z_]+)` +\|.*\| `(read|write)` +\|$/gm)];
  const tools = [...toolsFor({ isLocal: false }).values()];
  expect(rows.map(([, name, scope]) => [name, scope])).toEqual(
    tools.map(({ name, annotations }) => [name, annotations.readOnlyHint ? "read" : "write"]),
  );
});

test("the snippets of docs/agents.md start existing commands, and have the server's address", () => {
  const servers = blocksOf(readPage("docs/agents.md"), "json").flatMap((block) => {
    const { mcpServers, servers } = JSON.parse(block);
    return Object.values<{ url?: string; args?: string[] }>(mcpServers ?? servers);
  });
  const mcp = createProgram(false).commands.find((command) => command.name() === "mcp");
  const options = mcp?.options.map(({ long }) => long) ?? [];
  for (const { url, args = ["mcp"] } of servers) {
    expect(url ?? "http://localhost:3000/mcp").toBe("http://localhost:3000/mcp");
    expect([args[0], ...options]).toEqual(expect.arrayContaining(["mcp", args[1] ?? "--dir"]));
  }
  expect(servers).toHaveLength(4);
});
