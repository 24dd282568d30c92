import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { sha256Hex } from "../../src/lib/hash.ts";
import { createAuthenticator } from "../../src/services/authenticator.ts";
import { findKey } from "../../src/store/api-keys.ts";
import { hang, startProvider } from "../support/provider.ts";
import { client, KEY, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

/*
 * Valid or nearly valid requests in forms that few clients send. All tests share one server, on which real runs hang and
 * dry runs are answered at once.
 */

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;

beforeAll(async () => {
  provider = await startProvider(hang);
  app = await startServer({
    ...provider.env,
    TRUSTED_PROXY_HOPS: "1",
    FAILED_LOGINS_PER_MINUTE: "3",
    WEBHOOK_ALLOWED_HOSTS: "127.0.0.1:9",
  });
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function givenKey(fields: object = {}) {
  const { id, key } = (await app.post("/api-keys", { name: "k", ...fields })).body.data;
  return { id: id as string, key: key as string, ...client(app.url, key) };
}

async function givenResults(id: string, count: number) {
  const tasks = Array.from({ length: count }, (_, i) => ({
    id: `${id}-t${i}`,
    prompt: `Say ${i}`,
  }));
  await app.post("/batches", { id, tasks });
  await app.post(`/batches/${id}/execute`, { isDryRun: true });
  await app.finished(id);
}

describe("wrong keys are counted together for one address", () => {
  test.each([
    ["with ports", ["203.0.113.9:1001", "203.0.113.9:1002", "203.0.113.9:1003", "203.0.113.9"]],
    ["in brackets", ["[2001:db8::1]:1", "[2001:db8::2]", '"[2001:db8::3]:4"', "2001:db8::4"]],
    ["in any case", ["2001:DB9::1", "2001:0db9::2", "2001:db9:0:0:0::3", "2001:db9::4"]],
    [
      "as IPv4 within IPv6",
      ["::ffff:198.51.100.7", "::FFFF:c633:6407", "198.51.100.7:9", "198.51.100.7"],
    ],
    ["with a zone", ["fe80::1%eth0", "fe80::1%eth1", "fe80::1", "fe80::2%a"]],
  ])("%s", async (_, forms) => {
    const statuses: number[] = [];
    for (const form of forms)
      statuses.push(
        (await client(app.url, "guess").get("/tasks", { "x-forwarded-for": `10.0.0.1, ${form}` }))
          .status,
      );
    expect(statuses).toEqual([401, 401, 401, 429]);
  });

  test("and the audit log has only the address", async () => {
    const { key } = await givenKey();
    for (const address of ["203.0.113.1:5", "[2001:DB8::0:1]:7", "x".repeat(5000)])
      await client(app.url, key).post(
        "/events/token",
        { types: ["*"] },
        { "x-forwarded-for": address },
      );
    const { entries } = (await app.get("/audit?action=events.token&order=asc")).body.data;
    expect(entries.map((entry: { address: string }) => entry.address)).toEqual([
      "203.0.113.1",
      "2001:db8::1",
      "127.0.0.1",
    ]);
  });
});

describe("a key", () => {
  test("that is rotated ends the streams of tokens made with the old secret, and the tokens", async () => {
    const { id, post } = await givenKey();
    const { token } = (await post("/events/token")).body.data;
    const path = `/events?access_token=${token}`;
    const stream = await follow(app.url, path, { key: "" });
    await app.post(`/api-keys/${id}/rotate`, { overlapSeconds: 0 });
    await stream.ended();
    expect((await client(app.url, "").get(path)).status).toBe(401);
  });

  test("that is revoked during its lookup is not cached as valid", async () => {
    const { id, key } = await givenKey();
    const { ctx } = app;
    let isRevoked = false;
    const db = new Proxy(ctx.db, {
      get(target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver);
        if (name !== "select" || isRevoked) return value;
        // The first lookup returns after the revocation.
        return () => ({
          from: () => ({
            where: () => ({
              async get() {
                isRevoked = true;
                const found = await findKey(ctx.db, id);
                await app.del(`/api-keys/${id}`);
                return found;
              },
            }),
          }),
        });
      },
    });
    const authenticator = createAuthenticator({ ...ctx, db });
    expect(await authenticator.verify(sha256Hex(key))).toBeUndefined();
    expect(authenticator.knows(sha256Hex(key))).toBe(false);
  });

  test("that is revoked ends a running download of results", async () => {
    const tasks = Array.from({ length: 450 }, () => ({ prompt: "x" }));
    await app.post("/batches", { id: "long", tasks });
    const { id, key } = await givenKey({ scopes: ["read"] });
    // Not through a socket, which would accept all of it at once.
    const request = new Request(`${app.url}/api/v1/batches/long/results?format=jsonl`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const answer = await app.runner.fetch(request, { address: () => undefined });
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await app.del(`/api-keys/${id}`);
    expect(await reader?.read().catch(String)).toContain("no longer valid");
  });

  test("that is revoked during an upload, or replaced, leaves no file", async () => {
    for (const end of [
      (id: string) => app.del(`/api-keys/${id}`),
      (id: string) => app.post(`/api-keys/${id}/rotate`, { overlapSeconds: 0 }),
      // As another process does it, so that this one learns of it later.
      (id: string) =>
        app.ctx.client.execute(`UPDATE api_keys SET revoked_at = 1 WHERE id = '${id}'`),
    ]) {
      const { id, key } = await givenKey();
      let goOn = () => {};
      const isEnded = new Promise<void>((resolve) => (goOn = resolve));
      async function* body() {
        yield Buffer.from(
          '--x\r\nContent-Disposition: form-data; name="file"; filename="late.csv"\r\n\r\nprompt\n',
        );
        await isEnded;
        yield Buffer.from("one\n\r\n--x--\r\n");
      }
      const uploading = fetch(`${app.url}/api/v1/files`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${key}`,
          "content-type": "multipart/form-data; boundary=x",
        },
        body: body() as unknown as BodyInit,
      });
      const folder = join(app.filesDir, ".uploads");
      mkdirSync(folder, { recursive: true });
      const parts = () => readdirSync(folder).filter((name) => name.endsWith(".tmp"));
      await until(() => parts().length > 0 || undefined);
      await end(id);
      goOn();
      expect((await uploading).status).toBe(401);
      expect(parts()).toEqual([]);
    }
    expect((await app.get("/files")).text).not.toContain("late.csv");
  });

  test("that is revoked while its request waits still has the execution in the audit log", async () => {
    const { id, post } = await givenKey();
    await app.post("/tasks", { id: "waited", prompt: "x" });
    const waiting = post("/tasks/waited/execute", undefined, {
      prefer: 'respond-async, Wait = "60"',
    });
    await until(() => provider.requests.length > 0 || undefined);
    await app.del(`/api-keys/${id}`);
    expect((await waiting).status).toBe(401);
    const entry = await until(
      async () => (await app.get("/audit?action=tasks.execute")).body.data.entries[0],
    );
    expect(entry).toMatchObject({ keyId: id, target: "waited" });
  });

  test("that may only read does not see the answers of a webhook's server, which may repeat its address", async () => {
    const { id } = (
      await app.post("/webhooks", { url: "http://127.0.0.1:9/SECRET", events: ["system.alert"] })
    ).body.data;
    await app.post(`/webhooks/${id}/test`);
    await app.ctx.client.execute("UPDATE webhook_deliveries SET snippet = 'Cannot POST /SECRET'");
    const path = `/webhooks/${id}/deliveries`;
    expect((await app.get(path)).body.data.deliveries[0].response).toBe("Cannot POST /SECRET");
    const reader = await givenKey({ scopes: ["read"] });
    expect((await reader.get(path)).text).not.toContain("SECRET");
  });
});

describe("a download", () => {
  test("of results has another ETag after the metadata of a task was changed", async () => {
    await givenResults("tagged", 2);
    const fetchIt = () => app.get("/batches/tagged/results?format=jsonl");
    const before = await fetchIt();
    const { status } = await app.patch("/tasks/tagged-t0", { metadata: { changed: true } });
    const after = await fetchIt();
    expect([status, after.text === before.text]).toEqual([200, false]);
    expect(after.headers.get("etag")).not.toBe(before.headers.get("etag"));
  });

  test("of a range with very long numbers has the right bytes", async () => {
    await givenResults("ranged", 1);
    const path = "/batches/ranged/results";
    const { text } = await app.get(path);
    const nines = "9".repeat(400);
    const ask = (range: string) => app.get(path, { range });
    expect((await ask(`bytes=0-${nines}`)).headers.get("content-range")).toEndWith(
      `/${Buffer.byteLength(text)}`,
    );
    expect((await ask(`bytes=-${nines}`)).text).toBe(text);
    expect((await ask(`bytes=${nines}-`)).status).toBe(416);
  });

  test("of a range with long runs of blanks does not keep others waiting", async () => {
    await givenResults("blank", 1);
    const path = "/batches/blank/results";
    const blanks = " ".repeat(5000);
    const ask = (range: string) => app.get(path, { range });
    expect((await ask(`bytes=${blanks}0${blanks}-${blanks}1`)).text).toHaveLength(2);
    expect((await ask(`bytes=${blanks}-${blanks}x`)).status).toBe(200);
    expect((await ask(`bytes=1 2-3`)).status).toBe(200);
  });
});

describe("a parameter or name", () => {
  test("that is repeated is refused by name", async () => {
    for (const [path, name] of [
      ["/tasks?limit=5&limit=6", "limit"],
      ["/batches?name=a&name=b", "name"],
      ["/tasks?status=failed&status=pending", "status"],
    ]) {
      const { status, body } = await app.get(path ?? "");
      expect([status, body.error.message]).toEqual([400, `${name}: is given more than once`]);
    }
    await app.post("/tasks", { id: "dry", prompt: "x" });
    const both = await app.post("/tasks/dry/execute?isDryRun=true&isDryRun=false");
    expect([both.status, (await app.get("/tasks/dry")).body.data.attempts]).toEqual([400, 0]);
  });

  test("with U+0000 is refused, and does not match everything", async () => {
    for (const path of ["/batches?name=%00", "/scheduled-tasks?name=a%00b"])
      expect((await app.get(path)).status).toBe(400);
  });

  test("in the form of a Windows path or a URL is refused with the right form", async () => {
    for (const path of ["C:\\data\\tasks.csv", "file:///data/tasks.csv", "s3://data/tasks.csv"]) {
      const { status, body } = await app.post("/batches", { inputFile: path });
      expect(status).toBe(400);
      for (const part of ["FILES_DIR", '"tasks.csv"', "POST /api/v1/files"])
        expect(body.error.message).toContain(part);
    }
  });

  test("with a character that changes the direction of text is refused", async () => {
    const form = new FormData();
    form.append("file", new Blob(["prompt\nx\n"]), "\u202Egpj.csv");
    const answer = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: form,
    });
    expect(answer.status).toBe(400);
  });
});
