import { expect, setDefaultTimeout, test } from "bun:test";
import { createServer, connect, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

test.if(sqld !== undefined)(
  "connections that fall silent, and a server that is gone, are got over in seconds and reported in a few lines",
  async () => {
    using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using provider = await startProvider();
    await using network = await startNetwork(Number(new URL(database.url).port));
    // It is gone twice during the start: when keys are stored, and when the process joins the others.
    const cuts = network.cutAt('insert into \\"api_keys\\"', "INSERT INTO nodes");
    await using app = await startProcess({
      DATABASE_URL: network.url,
      DATA_DIR: folder.path,
      LEASE_SECONDS: "4",
      ...provider.env,
    });
    expect([app.url, cuts.left()]).toEqual([expect.any(String), []]);
    const works = () =>
      until(async () => {
        const answer = await app
          .post("/tasks?execute=true", { prompt: "x" }, { prefer: "wait=10" })
          .catch(() => undefined);
        return answer?.body?.data?.status === "completed" || undefined;
      });
    await works();

    network.silence();
    await works();

    const reported = async () => (await fetch(`${app.url}/metrics`)).text();
    expect(await reported()).toMatch(/^gptrunner_nodes_living 1$/m);
    const logged = app.output.stderr.length;
    network.set("refuses");
    await until(async () => (await app.get(`${app.url}/readyz`)).status === 503 || undefined);
    // Prometheus gets the process's own figures, and no stale figures from the database.
    const alone = await until(async () => {
      const text = await reported();
      return text.includes("gptrunner_database_available 0") ? text : undefined;
    });
    expect(alone).toMatch(/^gptrunner_calls_in_flight 0$/m);
    expect(alone).toMatch(/^gptrunner_tasks_total\{status="completed"\} [1-9]/m);
    expect(alone).toMatch(/^gptrunner_disk_free_bytes \d/m);
    expect(alone).not.toMatch(
      /^gptrunner_(nodes_living|queue_depth|stored_tasks|open_alerts)[ {]/m,
    );
    // Every loop of the process meets the outage repeatedly, and so do clients.
    const refused = async () => {
      for (let i = 0; i < 15; i++) {
        expect((await app.post("/tasks", { prompt: "x" })).status).toBe(503);
        await Bun.sleep(100);
      }
    };
    await refused();
    network.set("answers 503");
    await refused();
    network.set("works");
    await works();
    await until(async () => (await app.get(`${app.url}/readyz`)).status === 200 || undefined);
    expect(await reported()).toMatch(/^gptrunner_database_available 1$/m);
    const lines = app.output.stderr.trim().split("\n");
    const since = app.output.stderr.slice(logged);
    expect(since).toContain("cannot be reached");
    expect(since).toContain("answers again");
    // A few lines per loop at the beginning. Without a limit there would be 15 per second.
    expect(lines.length).toBeLessThan(20);
  },
);

/** What the way from a process to its database does with requests. */
type Way = "works" | "refuses" | "answers 503";
const UNAVAILABLE = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/** A proxy between a process and its database. */
async function startNetwork(port: number) {
  let way: Way = "works";
  let cuts: string[] = [];
  const open = new Set<{ near: Socket; far: Socket; isDead: boolean }>();
  const closeAll = () => {
    for (const { near } of open) near.destroy();
  };
  function set(next: Way): void {
    way = next;
    if (way === "refuses") closeAll();
  }
  function send(
    pair: { near: Socket; far: Socket; isDead: boolean },
    bytes: Buffer | string,
  ): void {
    const [next] = cuts;
    if (next !== undefined && bytes.includes(next)) {
      cuts = cuts.slice(1);
      set("refuses");
      setTimeout(() => set("works"), 100);
    } else if (way === "answers 503") pair.near.end(UNAVAILABLE);
    else if (!pair.isDead) pair.far.write(bytes);
  }
  const server = createServer((near) => {
    if (way === "refuses") return void near.destroy();
    const pair = { near, far: connect(port, "127.0.0.1"), isDead: false };
    open.add(pair);
    near.on("data", (bytes) => send(pair, bytes));
    pair.far.on("data", (bytes) => pair.isDead || near.write(bytes));
    for (const socket of [near, pair.far]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(pair);
        near.destroy();
        pair.far.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set,
    /** Silently drops everything on the open connections, without an error. */
    silence() {
      for (const pair of open) pair.isDead = true;
    },
    /** Refuses everything for a moment when a request has the first of these texts, then the next, and so on. */
    cutAt(...texts: string[]) {
      cuts = texts;
      return { left: () => cuts };
    },
    async [Symbol.asyncDispose]() {
      closeAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
