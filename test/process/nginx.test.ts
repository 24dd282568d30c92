import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { buildPage } from "../support/page.ts";
import { freePort, temporaryFolder } from "../support/process.ts";
import { client, KEY, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";
import { nginx } from "../support/tools.ts";

/** Path prefixes that nginx removes. The last one looks like a path of the API itself. */
const PREFIXES = ["/runner", "/a/b", "/api/v1"];

/** nginx in front of the server, under a path prefix. */
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
        ${PREFIXES.map(
          (prefix) => `location ${prefix}/ {
            proxy_pass ${target}/;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          }`,
        ).join("\n")}
      }
    }`;
  writeFileSync(join(folder.path, "nginx.conf"), config);
  const child = Bun.spawn([nginx ?? "", "-c", join(folder.path, "nginx.conf")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const origin = `http://127.0.0.1:${port}`;
  await until(() =>
    fetch(`${origin}/runner/healthz`).then(
      ({ ok }) => ok || undefined,
      () => undefined,
    ),
  );
  return {
    origin,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
      folder[Symbol.dispose]();
    },
  };
}

describe.skipIf(!nginx)("behind nginx, under a path prefix", () => {
  let app: TestServer;
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  beforeAll(async () => {
    app = await startServer({ TRUSTED_PROXY_HOPS: "1" });
    buildPage();
    proxy = await startProxy(app.url);
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/batches/b/execute");
    await app.finished("b");
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await app[Symbol.asyncDispose]();
  });

  describe.each(PREFIXES)("%s", (prefix) => {
    test("the page and the docs load all their files, and the document has the right address of the API", async () => {
      const url = proxy.origin + prefix;
      const bare = await fetch(url);
      expect([bare.status, bare.url]).toEqual([200, `${url}/`]);
      for (const page of ["/", "/docs"]) {
        const at = `${url}${page}`;
        const text = await (await fetch(at)).text();
        const named = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
        expect(named.length).toBeGreaterThan(1);
        for (const path of named)
          expect([path, (await fetch(new URL(path, at))).status]).toEqual([path, 200]);
      }
      const docs = await (await fetch(`${url}/docs`)).text();
      const [, address = ""] = /url: ?["']([^"']*openapi\.json)["']/.exec(docs) ?? [];
      const where = new URL(address, `${url}/docs`);
      const { servers, paths } = await (await fetch(where)).json();
      const base = new URL(servers[0].url, where).href.replace(/\/$/, "");
      expect(Object.keys(paths)).toContain("/api/v1/status");
      expect((await fetch(`${base}/api/v1/status`)).status).toBe(401);
    });

    test("events arrive as they happen, also with a token", async () => {
      const url = proxy.origin + prefix;
      const { token } = (await client(url).post("/events/token")).body.data;
      await using stream = await follow(url, "/events");
      await using other = await follow(url, `/events?access_token=${token}`, { key: "" });
      await app.post("/tasks", { prompt: "x" });
      await stream.until("task.created");
      await other.until("task.created");
    });

    test("results are downloaded, in parts and repeatedly", async () => {
      const path = `${proxy.origin}${prefix}/api/v1/batches/b/results?format=jsonl`;
      const authorization = `Bearer ${KEY}`;
      const whole = await fetch(path, { headers: { authorization } });
      const text = await whole.text();
      const part = await fetch(path, { headers: { authorization, range: "bytes=1-9" } });
      expect([part.status, await part.text()]).toEqual([206, text.slice(1, 10)]);
      const tag = whole.headers.get("etag") ?? "";
      for (const method of ["GET", "HEAD"]) {
        const headers = { authorization, "if-none-match": tag };
        expect((await fetch(path, { method, headers })).status).toBe(304);
      }
    });
  });
});
