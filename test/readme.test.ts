import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePort, startProcess, temporaryFolder } from "./support/process.ts";
import { client, startServer, until } from "./support/server.ts";

/** Runs a shell script in which every curl must succeed, against this server instead of port 3000. */
async function runScript(script: string, url: string, cwd: string): Promise<string> {
  const shell = Bun.spawn(
    ["bash", "-euc", `curl() { command curl -sS --fail-with-body "$@"; echo; }\n${script}`],
    {
      cwd,
      env: { PATH: process.env["PATH"] ?? "", KEY: "test-key", no_proxy: "*" },
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const [output, errors, code] = await Promise.all([
    new Response(shell.stdout).text(),
    new Response(shell.stderr).text(),
    shell.exited,
  ]);
  expect([code, errors, output.includes('"success":false')]).toEqual([0, "", false]);
  return output.replaceAll(url, "");
}

test("every curl of the README works as pasted, from the first to the last", async () => {
  using folder = temporaryFolder();
  await using app = await startServer({
    DATA_DIR: join(folder.path, "data"),
    // Slow enough for a batch to be paused before it has ended.
    SIMULATOR_LATENCY_MS: "400",
  });
  cpSync("examples/cities.xlsx", join(folder.path, "examples", "cities.xlsx"));
  const readme = await Bun.file("README.md").text();
  const blocks = [...readme.matchAll(/^```bash\n(.*?)^```$/gms)].map(([, script]) => script ?? "");
  expect(blocks.length).toBeGreaterThan(4);
  for (const block of blocks) {
    await runScript(block.replaceAll("http://localhost:3000", app.url), app.url, folder.path);
    await Bun.sleep(0);
  }
  expect(await app.finished("cities")).toMatchObject({ progress: { completed: 3 } });
  expect(existsSync(join(folder.path, "cities-results.csv"))).toBe(true);
  expect(existsSync(join(folder.path, "answers.xlsx"))).toBe(true);
  expect(await app.differences()).toEqual([]);
});

test("the live reader of the README works as pasted, through a restart of the server", async () => {
  using folder = temporaryFolder();
  const env = { DATA_DIR: folder.path, PORT: String(await freePort()), API_KEYS: "test-key" };
  await using app = await startProcess(env);
  const script = (await scriptOf("eventsource-parser")).replaceAll(
    "http://localhost:3000",
    app.url ?? "",
  );
  const reader = Bun.spawn([process.execPath, "run", "-"], {
    stdin: new Blob([script]),
    env: { KEY: "test-key" },
    stdout: "pipe",
  });
  let output = "";
  const reading = (async () => {
    for await (const chunk of reader.stdout) output += new TextDecoder().decode(chunk);
  })();
  const told = (id: string) => output.split(`taskId: "${id}"`).length - 1;
  await app.post("/tasks?execute=true", { id: "one", prompt: "x" });
  await until(() => told("one") === 3 || undefined);
  await app.kill("SIGKILL");
  await using again = await startProcess(env);
  await again.post("/tasks?execute=true", { id: "two", prompt: "x" });
  await until(() => told("two") === 3 || undefined);
  expect(told("one")).toBe(3);
  reader.kill();
  await reading;
});

test("the webhook receiver of the README works as pasted", async () => {
  const port = String(await freePort());
  const script = await scriptOf("standardwebhooks");
  const receiver = Bun.spawn([process.execPath, "run", "-"], {
    stdin: new Blob([script]),
    env: { PORT: port },
    stdout: "pipe",
  });
  await using app = await startServer({ WEBHOOK_ALLOWED_HOSTS: `localhost:${port}` });
  const hook = { url: `http://localhost:${port}/webhook`, events: ["task.completed"] };
  const secret = "your-webhook-secret";
  const { body } = await app.post("/webhooks", { ...hook, secret });
  await app.post("/webhooks", { ...hook, secret: "another-secret" });
  await until(async () => {
    const { data } = (await app.post(`/webhooks/${body.data.id}/test`)).body;
    return data.responseStatus === 204 || undefined;
  });
  await app.post("/tasks?execute=true", { id: "hooked", prompt: "x" });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of receiver.stdout) {
    output += decoder.decode(chunk);
    if (output.includes('taskId: "hooked"')) break;
  }
  receiver.kill();
  expect(output).toContain('type: "task.completed"');
});

/** The JavaScript of the README that has this in it. */
async function scriptOf(mark: string): Promise<string> {
  const readme = await Bun.file("README.md").text();
  const scripts = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, script]) => script ?? "");
  return scripts.find((script) => script.includes(mark)) ?? "";
}

test("the printed examples of the API documentation work with curl, from an empty database", async () => {
  using folder = temporaryFolder();
  await using app = await startServer({ DATA_DIR: folder.path, API_KEYS: "YOUR_API_KEY" });
  const { finished } = client(app.url, "YOUR_API_KEY");
  mkdirSync(join(app.filesDir, "path/to"), { recursive: true });
  writeFileSync(join(app.filesDir, "path/to/tasks.csv"), "id,prompt\ncsv-1,Say hello\n");
  const documented = `curl -X POST http://localhost:3000/api/v1/tasks \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "id": "example-task",
    "prompt": "Explain quantum computing in simple terms",
    "model": "gpt-4",
    "temperature": 0.7
  }'
curl -X POST http://localhost:3000/api/v1/batches \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "id": "csv-batch",
    "name": "CSV Processing",
    "inputFile": "/path/to/tasks.csv",
    "config": {
      "model": "gpt-3.5-turbo",
      "maxConcurrency": 10
    }
  }'
curl -X POST http://localhost:3000/api/v1/batches/csv-batch/execute \\
  -H "Authorization: Bearer YOUR_API_KEY"`;
  // The printed path stands for one below FILES_DIR, which nobody has at /path/to.
  const script = documented
    .replaceAll("http://localhost:3000", app.url)
    .replace("/path/to/tasks.csv", join(app.filesDir, "path/to/tasks.csv"));
  const output = await runScript(script, app.url, folder.path);
  expect(output).toContain('"id":"example-task","status":"pending"');
  expect(output).toContain('"taskCount":1');
  expect(await finished("csv-batch")).toMatchObject({ status: "completed" });
});
