import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { callOf, connectMcp, type Era } from "../support/mcp.ts";
import { temporaryFolder } from "../support/process.ts";
import { COMMAND_LINE } from "../support/program.ts";
import { hang, startProvider } from "../support/provider.ts";
import { client, KEY, startServer, until } from "../support/server.ts";

/** `gptrunner mcp` in a folder, started by the official client as an agent's program starts it. */
async function startMcp(cwd: string, { env = {}, era = "present" as Era } = {}) {
  const [command, ...args] = COMMAND_LINE;
  const transport = new StdioClientTransport({
    command,
    args: [...args, "mcp"],
    cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: cwd, WORKERS: "1", ...env },
    stderr: "ignore",
  });
  return connectMcp(transport, era);
}

test("an agent without a server runs a file on its machine to a file of answers, and finds it again later", async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "cities.csv");
  writeFileSync(file, "city\nOslo\nRome\n");
  const env = { SIMULATOR_LATENCY_MS: "0" };
  const answers = join(folder.path, "answers.csv");
  {
    await using mcp = await startMcp(folder.path, { env });
    const { tools } = await mcp.client.listTools();
    const takes = (name: string) =>
      Object.keys(tools.find((tool) => tool.name === name)?.inputSchema.properties ?? {});
    expect([takes("run_batch").includes("file"), takes("results").includes("saveTo")]).toEqual([
      true,
      true,
    ]);
    const config = { promptTemplate: "Where is {{city}}?" };
    const { data } = await mcp.call("run_batch", { id: "cities", file, config, isDryRun: true });
    expect(data).toMatchObject({
      status: "completed",
      progress: { completed: 2 },
      simulated: expect.stringContaining("simulator"),
    });
    await mcp.call("results", { batchId: "cities", saveTo: answers });
    expect(readFileSync(answers, "utf8")).toStartWith("city,status,result");
    const twice = await mcp.call("results", { batchId: "cities", saveTo: answers });
    expect([twice.isError, twice.text]).toEqual([true, expect.stringContaining("exists")]);
    const missing = await mcp.call("run_batch", {
      file: join(folder.path, "none.csv"),
      config,
      isDryRun: true,
    });
    expect([missing.isError, missing.text]).toEqual([
      true,
      expect.stringMatching(/^USAGE: There is no file .*none\.csv/),
    ]);
  }
  expect(existsSync(join(folder.path, ".gptrunner", "key"))).toBe(true);
  await using provider = await startProvider(hang);
  const later = { ...env, ...provider.env, SHUTDOWN_GRACE_SECONDS: "0" };
  // Standard input ends while a call waits, as when an agent's program ends.
  const left = Bun.spawn([...COMMAND_LINE, "mcp"], {
    cwd: folder.path,
    env: { PATH: process.env["PATH"] ?? "", HOME: folder.path, WORKERS: "1", ...later },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const clientInfo = { name: "test", version: "1" };
  const messages = [
    {
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo },
    },
    { method: "notifications/initialized" },
    callOf("status", {}, 2),
    callOf("ask", { prompt: "x", waitSeconds: 50 }, 3),
  ];
  const lines = messages.map((one) => `${JSON.stringify({ jsonrpc: "2.0", ...one })}\n`);
  await left.stdin.write(lines.join(""));
  await left.stdin.flush();
  await until(() => provider.requests.length === 1 || undefined);
  await left.stdin.end();
  const [out, err, code] = await Promise.all([
    new Response(left.stdout).text(),
    new Response(left.stderr).text(),
    left.exited,
  ]);
  expect([code, err]).toEqual([0, ""]);
  const status = out.split("\n").find((line) => line.includes('"id":2')) ?? "";
  expect(JSON.parse(JSON.parse(status).result.content[0].text).batches).toMatchObject([
    { batchId: "cities" },
  ]);
});

test("an agent uses a running server with its key, until that is revoked", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(hang);
  await using app = await startServer(provider.env);
  const { body } = await app.post("/api-keys", { name: "agent", scopes: ["write"] });
  const env = { GPTRUNNER_SERVER: app.url, GPTRUNNER_KEY: body.data.key };
  await using mcp = await startMcp(folder.path, { env, era: "2025" });
  const running = mcp.call("run_batch", { id: "b", tasks: [{ prompt: "x" }], waitSeconds: 50 });
  await until(() => app.runner.hub.size() === 1 || undefined);
  await app.del(`/api-keys/${body.data.id}`);
  const ended = await running;
  expect([ended.isError, ended.text]).toEqual([true, "UNAUTHORIZED: The API key is not valid"]);
  expect((await mcp.call("status")).text).toBe("UNAUTHORIZED: The API key is not valid");
  expect((await client(app.url, KEY).get("/batches/b")).body.data.status).toBe("running");
});
