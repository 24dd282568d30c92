import { expect, test } from "bun:test";
import { resolve } from "node:path";

import { freePort, startProcess, temporaryFolder } from "../support/process.ts";
import { KEY, startServer, until } from "../support/server.ts";
import { blocksOf, readPage } from "./pages.ts";

test("the live reader works as pasted, through a restart of the server", async () => {
  using folder = temporaryFolder();
  const env = { DATA_DIR: folder.path, PORT: String(await freePort()), API_KEYS: "test-key" };
  await using app = await startProcess(env);
  const script = scriptOf("eventsource-parser").replaceAll("http://localhost:3000", app.url ?? "");
  const reader = Bun.spawn([process.execPath, "run", "-"], {
    stdin: new Blob([script]),
    env: { KEY: "test-key" },
    stdout: "pipe",
  });
  let output = "";
  const reading = (async () => {
    for await (const chunk of reader.stdout) output += new TextDecoder().decode(chunk);
  })();
  const reported = (id: string) => output.split(`taskId: "${id}"`).length - 1;
  await app.post("/tasks?execute=true", { id: "one", prompt: "x" });
  await until(() => reported("one") === 3 || undefined);
  await app.kill("SIGKILL");
  await using again = await startProcess(env);
  await again.post("/tasks?execute=true", { id: "two", prompt: "x" });
  await until(() => reported("two") === 3 || undefined);
  expect(reported("one")).toBe(3);
  reader.kill();
  await reading;
});

test("the webhook receiver works as pasted", async () => {
  const port = String(await freePort());
  const script = scriptOf("standardwebhooks");
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

test("the program of docs/clients.md works as pasted", async () => {
  await using app = await startServer();
  const [script = ""] = blocksOf(readPage("docs/clients.md"), "js");
  const program = Bun.spawn([process.execPath, "run", "-"], {
    stdin: new Blob([
      script
        .replace("gpt-task-runner/client", resolve("src/client/client.ts"))
        .replace("http://localhost:3000", app.url),
    ]),
    env: { KEY },
    stdout: "pipe",
  });
  const said = await new Response(program.stdout).text();
  expect(said.match(/^(Oslo|Rome|Quito) completed \{/gm)).toHaveLength(3);
});

/** The program on the page that contains this text. */
function scriptOf(mark: string): string {
  const scripts = blocksOf(readPage("docs/webhooks-and-events.md"), "js");
  return scripts.find((script) => script.includes(mark)) ?? "";
}
