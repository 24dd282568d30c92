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
    await using app = await startProcess({
      DATABASE_URL: network.url,
      DATA_DIR: folder.path,
      LEASE_SECONDS: "4",
      ...provider.env,
    });
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
    network.refuse(true);
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
    // Every loop of the process meets the outage repeatedly.
    await Bun.sleep(4000);
    network.refuse(false);
    await works();
    await until(async () => (await app.get(`${app.url}/readyz`)).status === 200 || undefined);
    expect(await reported()).toMatch(/^gptrunner_database_available 1$/m);
    const lines = app.output.stderr.trim().split("\n");
    expect(lines.filter((line) => line.includes("cannot be reached"))).not.toBeEmpty();
    expect(lines.filter((line) => line.includes("answers again"))).not.toBeEmpty();
    // A few lines per loop at the beginning. Without a limit there would be 15 per second.
    expect(lines.length).toBeLessThan(20);
  },
);

/** A proxy between a process and its database. */
async function startNetwork(port: number) {
  let isRefusing = false;
  const open = new Set<{ near: Socket; far: Socket; isDead: boolean }>();
  const server = createServer((near) => {
    if (isRefusing) return void near.destroy();
    const pair = { near, far: connect(port, "127.0.0.1"), isDead: false };
    open.add(pair);
    near.on("data", (bytes) => pair.isDead || pair.far.write(bytes));
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
    /** Silently drops everything on the open connections, without an error. */
    silence() {
      for (const pair of open) pair.isDead = true;
    },
    /** Closes all connections, and accepts no new one. */
    refuse(is: boolean) {
      isRefusing = is;
      if (is) for (const { near } of open) near.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const { near } of open) near.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
