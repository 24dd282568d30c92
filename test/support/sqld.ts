import { join } from "node:path";

import { freePort } from "./process.ts";
import { until } from "./server.ts";
import { sqld } from "./tools.ts";

/** A real libSQL server on a new database, or on the database that an earlier server has left in the folder. */
export async function startSqld(folder: string, at?: number) {
  const port = at ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const child = Bun.spawn(
    [
      sqld ?? "",
      "--db-path",
      join(folder, "sqld"),
      "--http-listen-addr",
      `127.0.0.1:${port}`,
      "--no-welcome",
      "--checkpoint-interval-s",
      "10",
    ],
    { stdout: "ignore", stderr: "ignore" },
  );
  await until(() =>
    fetch(`${url}/health`).then(
      ({ ok }) => ok || undefined,
      () => undefined,
    ),
  );
  return {
    url,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
