import { expect, test } from "bun:test";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { runCommand } from "../support/command-line.ts";
import { connectHttp } from "../support/mcp.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/server.ts";
import { follow } from "../support/sse.ts";
import { deno } from "../support/tools.ts";
import { row, workbookOf } from "../support/workbook.ts";

test.if(deno !== undefined)(
  "the same tree runs on Deno, and either goes on where the other was",
  async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider();
    await using receiver = await startReceiver();
    const env = { DATA_DIR: folder.path, ...provider.env, ...receiver.env };
    const command = [deno ?? "", "run", "-A", "src/deno.ts"];
    const tasks = Array.from({ length: 40 }, (_, i) => ({ prompt: `p${i}` }));

    await using onDeno = await startProcess(env, command);
    await onDeno.post("/batches", { id: "b", tasks });
    await onDeno.post("/webhooks", { url: receiver.url, events: ["batch.completed"] });
    await using stream = await follow(onDeno.url ?? "", "/batches/b/events");
    await onDeno.post("/batches/b/execute");
    expect(await onDeno.finished("b")).toMatchObject({ progress: { total: 40, completed: 40 } });
    await until(() => receiver.types().includes("batch.completed") || undefined);
    await stream.until("batch.completed");
    await stream.ended();
    {
      await using mcp = await connectHttp(onDeno.url ?? "");
      const { tools } = await mcp.client.listTools();
      expect(tools.map(({ name }) => name)).toContain("run_batch");
      const { data } = await mcp.call("status", { id: "b" });
      expect(data).toMatchObject({ status: "completed", progress: { completed: 40 } });
      // It waits on Deno for the end of the batch.
      const ran = await mcp.call("run_batch", { tasks: [{ prompt: "x" }], isDryRun: true });
      expect(ran.data).toMatchObject({ status: "completed", progress: { completed: 1 } });
    }
    const content = await workbookOf(
      row(1, "prompt", "n") + row(2, "p", { xml: "<c><v>1</v></c>" }),
    );
    mkdirSync(join(folder.path, "files"), { recursive: true });
    writeFileSync(join(folder.path, "files", "w.xlsx"), content);
    copyFileSync("test/support/types.parquet", join(folder.path, "files", "t.parquet"));
    for (const inputFile of ["w.xlsx", "t.parquet"]) {
      const config = { promptTemplate: "hi" };
      expect((await onDeno.post("/batches", { id: inputFile, inputFile, config })).status).toBe(
        201,
      );
      const results = await onDeno.get(`/batches/${inputFile}/results?format=xlsx`);
      expect([results.status, results.text.slice(0, 2)]).toEqual([200, "PK"]);
    }
    await onDeno.post("/batches", { id: "later", tasks });
    expect(await onDeno.kill("SIGTERM")).toBe(0);

    await using onBun = await startProcess(env);
    await onBun.post("/batches/later/execute");
    expect(await onBun.finished("later")).toMatchObject({ progress: { completed: 40 } });
    expect((await onBun.get(`${onBun.url}/readyz?deep=1`)).status).toBe(200);
    expect(provider.requests).toHaveLength(80);
  },
);

test.if(deno !== undefined)(
  "the command line runs on Deno, with the server in its process",
  async () => {
    using folder = temporaryFolder();
    const program = [deno ?? "", "run", "-A", resolve("src/cli/main.ts")];
    const args = ["run", "-", "--prompt", "Where is {{city}}?", "--simulate"];
    const options = { program, input: "city\nParis\n" };
    const { code, out } = await runCommand(folder.path, args, options);
    expect([code, out]).toEqual([0, expect.stringContaining("\nParis,completed,")]);
  },
);
