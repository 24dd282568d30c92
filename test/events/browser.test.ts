import { expect, setDefaultTimeout, test } from "bun:test";

import { openPage } from "../support/browser.ts";
import { freePort, startProcess, temporaryFolder } from "../support/process.ts";
import { KEY, until } from "../support/server.ts";
import { browserPath } from "../support/tools.ts";

setDefaultTimeout(60_000);

/** Runs in the page: follows a batch with the browser's own EventSource, and keeps the events. */
const FOLLOW = `(async () => {
  const headers = { Authorization: "Bearer ${KEY}" };
  const answer = await fetch("/api/v1/events/token", { method: "POST", headers });
  const { data } = await answer.json();
  window.reported = [];
  window.source = new EventSource("/api/v1/batches/b/events?access_token=" + data.token);
  for (const type of ["batch.created", "task.completed", "batch.completed"])
    source.addEventListener(type, (event) => reported.push([type, Number(event.lastEventId)]));
})()`;

test.if(browserPath !== undefined)(
  "a browser's own EventSource resumes after kill -9, and stops when all is reported",
  async () => {
    using folder = temporaryFolder();
    const env = {
      DATA_DIR: folder.path,
      PORT: String(await freePort()),
      SIMULATOR_LATENCY_MS: "30",
      MAX_CONCURRENCY: "4",
    };
    await using app = await startProcess(env);
    const tasks = Array.from({ length: 60 }, (_, i) => ({ prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks });
    await using browser = await openPage(`${app.url}/healthz`);
    const reported = () => browser.page.evaluate("reported") as Promise<[string, number][]>;
    await browser.page.evaluate(FOLLOW);
    await app.post("/batches/b/execute");
    await until(async () => (await reported()).length > 10 || undefined);
    await app.kill("SIGKILL");

    await using again = await startProcess(env);
    await again.finished("b");
    const CLOSED = 2;
    await until(
      async () => (await browser.page.evaluate("source.readyState")) === CLOSED || undefined,
    );
    const events = await reported();
    const ids = events.map(([, id]) => id);
    expect(events.filter(([type]) => type === "task.completed")).toHaveLength(60);
    expect(events.at(-1)?.[0]).toBe("batch.completed");
    expect(ids).toEqual([...new Set(ids)].toSorted((x, y) => x - y));
  },
);
