import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { startServer, type TestServer } from "../support/server.ts";

const CSV = "prompt\nhello\n";
const asked: { path: string; headers: object }[] = [];
let app: TestServer;
let server: Server;
let port: number;

beforeAll(async () => {
  server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    asked.push({ path: pathname, headers: request.headers });
    const to = searchParams.get("to");
    if (to !== null) response.writeHead(302, { location: to }).end();
    else if (pathname === "/loop") response.writeHead(301, { location: "/loop" }).end();
    else if (pathname === "/gone.csv") response.writeHead(404).end("SECRET");
    else if (pathname === "/gzip.csv")
      response.writeHead(200, { "content-encoding": "gzip" }).end(CSV);
    else if (pathname === "/large.csv")
      response.writeHead(200, { "content-length": 5_000_000_000 }).write("a");
    else if (pathname === "/endless.csv") response.writeHead(200).end("x".repeat(100_000));
    else if (pathname === "/broken.csv") {
      response.writeHead(200, { "content-length": 1000 }).write(CSV);
      setTimeout(() => response.destroy(), 20);
    } else if (pathname === "/slow.csv") response.writeHead(200).write(CSV);
    else if (pathname !== "/silent.csv") response.writeHead(200).end(CSV);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
  app = await startServer(
    {
      INPUT_ALLOWED_HOSTS: `files.example:${port},down.example:1`,
      MAX_FILE_BYTES: "50000",
      BODY_TIMEOUT_SECONDS: "1",
    },
    { resolveHost: async () => ["127.0.0.1"] },
  );
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

const create = (id: string, inputFile: string, more: object = {}) =>
  app.post("/batches", { id, inputFile, ...more });
const at = (path: string) => `http://files.example:${port}${path}`;

test("a batch is made from the file at a URL, whose secrets are not stored", async () => {
  const url = at("/a/tasks.csv?X-Signature=TOPSECRET#part");
  const { status } = await create("b", url, { idempotencyKey: "k" });
  expect(status).toBe(201);
  const { body, text } = await app.get("/batches/b");
  expect(body.data).toMatchObject({
    inputFile: at("/a/tasks.csv"),
    input: { format: "csv", rows: 1 },
  });
  const again = await create("b", url, { idempotencyKey: "k" });
  expect([again.status, asked.length]).toEqual([200, 1]);
  expect(Object.keys(asked[0]?.headers ?? {}).toSorted()).toEqual([
    "accept",
    "accept-encoding",
    "connection",
    "host",
    "user-agent",
  ]);
  expect(readdirSync(join(app.filesDir, ".uploads"))).toEqual([]);
  await app.runner.ctx.client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  const stored = readdirSync(app.dir)
    .filter((name) => name.includes(".db"))
    .map((name) => readFileSync(join(app.dir, name), "latin1"));
  expect([text, ...stored].filter((one) => one.includes("TOPSECRET"))).toEqual([]);
});

test("redirects are followed to allowed addresses only", async () => {
  expect((await create("moved", at(`/x?to=${encodeURIComponent("/tasks.csv")}`))).status).toBe(201);
});

test.each([
  [
    "/x?to=http://169.254.169.254/latest?k=SECRET",
    "redirects to 169.254.169.254, and the address must not be a private address",
  ],
  [
    "/x?to=https://inside.example/?k=SECRET",
    "inside.example is a private address; INPUT_ALLOWED_HOSTS",
  ],
  ["/x?to=http://public.example/", "must begin with https://"],
  ["/x?to=file:///etc/passwd", "must begin with https://"],
  ["/x?to=https://u:SECRET@files.example/", "must not contain a user name or password"],
  ["/loop?k=SECRET", "more than 5 times"],
  ["/gone.csv?k=SECRET", "answered with status 404"],
  ["/gzip.csv", "is sent compressed (gzip)"],
  ["/large.csv", "is larger than 50000 bytes (MAX_FILE_BYTES)"],
  ["/endless.csv", "is larger than 50000 bytes (MAX_FILE_BYTES)"],
  ["/broken.csv", /broke off|cannot be fetched/],
  ["/slow.csv", /sent nothing for 1 s/],
  ["/silent.csv", "no answer in time"],
  ["http://down.example:1/a.csv?k=SECRET", "cannot be fetched (ECONNREFUSED)"],
  ["https://inside.example/a.csv?k=SECRET", "is a private address"],
  ["http://public.example/a.csv", "must begin with https://"],
  ["https://u:SECRET@public.example/a.csv", "must not contain a user name or password"],
  ["https://127.0.0.1/a.csv", "must not be a private address"],
  ["ftp://public.example/a.csv", "is a URL, not a path in the files folder"],
])("%s is refused, and nothing is left of it", async (path, message) => {
  const url = path.startsWith("/") ? at(path) : path;
  const { status, body, text } = await create("refused", url);
  expect([status, body.error?.code]).toEqual([400, "VALIDATION_ERROR"]);
  if (typeof message === "string") expect(body.error.message).toContain(message);
  else expect(body.error.message).toMatch(message);
  expect(text).not.toContain("SECRET");
  expect((await app.get("/batches/refused")).status).toBe(404);
  const uploads = join(app.filesDir, ".uploads");
  expect(existsSync(uploads) ? readdirSync(uploads) : []).toEqual([]);
});
