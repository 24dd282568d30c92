import { expect, setDefaultTimeout, test } from "bun:test";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { follow } from "../support/sse.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

test.if(sqld !== undefined)(
  "on a shared server every process tells every event, in one order, while all of them write",
  async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, SIMULATOR_LATENCY_MS: "1" };
    await using a = await startProcess(env);
    await using b = await startProcess(env);
    await using onA = await follow(a.url ?? "", "/events");
    await using onB = await follow(b.url ?? "", "/events");
    const tasks = Array.from({ length: 300 }, (_, i) => ({ prompt: `p${i}` }));
    await Promise.all([
      a.post("/batches", { id: "a", tasks }),
      b.post("/batches", { id: "b", tasks }),
    ]);
    await Promise.all([a.post("/batches/a/execute"), b.post("/batches/b/execute")]);
    await Promise.all([a.finished("a"), b.finished("b")]);
    await using whole = await follow(a.url ?? "", "/events?since=0");
    const ends = (types: string[]) => types.filter((type) => type === "batch.completed").length;
    await until(() => ends(whole.types()) === 2 || undefined);
    await until(() => (ends(onA.types()) === 2 && ends(onB.types()) === 2) || undefined);
    expect(whole.types().filter((type) => type === "task.completed")).toHaveLength(600);
    expect(onA.ids()).toEqual(whole.ids());
    expect(onB.ids()).toEqual(whole.ids());
    expect(whole.ids()).toEqual(whole.ids().toSorted((x, y) => x - y));
  },
);

test.if(sqld !== undefined)(
  "on a shared server one process delivers, and another goes on where it was killed",
  async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using receiver = await startReceiver(() => Bun.sleep(20));
    const env = {
      DATABASE_URL: database.url,
      DATA_DIR: folder.path,
      SIMULATOR_LATENCY_MS: "1",
      // Longer than a process can be delayed on a busy machine, so that it does not lose the right to deliver.
      LEASE_SECONDS: "4",
      ...receiver.env,
    };
    await using a = await startProcess(env);
    await a.post("/webhooks", { url: receiver.url, events: ["task.completed"] });
    await using b = await startProcess(env);
    const tasks = Array.from({ length: 100 }, (_, i) => ({ prompt: `p${i}` }));
    await a.post("/batches", { id: "a", tasks });
    await a.post("/batches/a/execute");
    const reported = () => new Set(receiver.received.map(({ body }) => body.data.taskId));
    await until(() => reported().size === 100 || undefined);
    // There was no fault yet, so nothing was sent twice.
    expect(receiver.received).toHaveLength(100);

    await b.post("/batches", { id: "b", tasks });
    await b.post("/batches/b/execute");
    await until(() => reported().size > 110 || undefined);
    await a.kill("SIGKILL");
    await until(() => reported().size === 200 || undefined);
    const ids = new Set(receiver.received.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(200);
  },
);
