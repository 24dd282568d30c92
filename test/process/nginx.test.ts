import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePort, temporaryFolder } from "../support/process.ts";
import { startServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

/** Debian's, which CI installs; without it these tests are left out. */
const nginx = Bun.which("nginx", { PATH: `${process.env["PATH"]}:/usr/sbin` });

/** nginx, which gives the server a path below its own. */
async function startProxy(target: string) {
  const folder = temporaryFolder();
  const port = await freePort();
  const config = `
    daemon off; pid ${folder.path}/pid; error_log ${folder.path}/error.log;
    events {}
    http {
      access_log off; client_body_temp_path ${folder.path}/b; proxy_temp_path ${folder.path}/p;
      fastcgi_temp_path ${folder.path}/f; uwsgi_temp_path ${folder.path}/u; scgi_temp_path ${folder.path}/s;
      server {
        listen 127.0.0.1:${port};
        location /runner/ {
          proxy_pass ${target}/;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
      }
    }`;
  writeFileSync(join(folder.path, "nginx.conf"), config);
  const child = Bun.spawn([nginx ?? "", "-c", join(folder.path, "nginx.conf")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const url = `http://127.0.0.1:${port}/runner`;
  await until(() =>
    fetch(`${url}/healthz`).then(
      ({ ok }) => ok || undefined,
      () => undefined,
    ),
  );
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
      folder[Symbol.dispose]();
    },
  };
}

describe.skipIf(!nginx)("behind nginx, below a path of its own", () => {
  test("the page and the docs load all that they name, and the document leads to the API", async () => {
    await using app = await startServer({ TRUSTED_PROXY_HOPS: "1" });
    await using proxy = await startProxy(app.url);
    for (const page of ["/", "/docs"]) {
      const at = `${proxy.url}${page}`;
      const text = await (await fetch(at)).text();
      const named = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
      expect(named.length).toBeGreaterThan(1);
      for (const path of named)
        expect([path, (await fetch(new URL(path, at))).status]).toEqual([path, 200]);
    }
    const docs = await (await fetch(`${proxy.url}/docs`)).text();
    const [, address = ""] = /url: ?["']([^"']*openapi\.json)["']/.exec(docs) ?? [];
    const where = new URL(address, `${proxy.url}/docs`);
    const { servers, paths } = await (await fetch(where)).json();
    const base = new URL(servers[0].url, where).href.replace(/\/$/, "");
    expect(Object.keys(paths)).toContain("/api/v1/status");
    expect((await fetch(`${base}/api/v1/status`)).status).toBe(401);
  });

  test("events arrive as they happen", async () => {
    await using app = await startServer({ TRUSTED_PROXY_HOPS: "1" });
    await using proxy = await startProxy(app.url);
    await using stream = await follow(proxy.url, "/events");
    await app.post("/tasks", { prompt: "x" });
    await stream.until("task.created");
  });
});
