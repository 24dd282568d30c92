import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { KEY, startServer, until } from "../support/server.ts";

const AUTH = `Authorization: Bearer ${KEY}\r\n`;

/** A raw connection, and the bytes that it received. */
async function open(app: { url: string | undefined }) {
  const { hostname, port } = new URL(app.url ?? "");
  const state = { text: "", isOver: false };
  const socket: Socket = connect(Number(port), hostname);
  socket.on("data", (chunk) => (state.text += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.on("close", () => (state.isOver = true));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, state };
}

/** The first line of each answer to bytes that are sent at once. */
async function answers(
  app: Parameters<typeof open>[0],
  bytes: string | Buffer,
  count = 1,
): Promise<string[]> {
  const { socket, state } = await open(app);
  socket.write(bytes);
  const lines = () => state.text.match(/HTTP\/1\.[01] \d{3}/g) ?? [];
  await until(() => state.isOver || lines().length >= count || undefined);
  socket.destroy();
  return lines().map((line) => line.slice(-3));
}

describe("by hand", () => {
  test("HTTP/1.0 without Host, and an invalid Host, reach their route and query", async () => {
    await using app = await startServer();
    const heads = ["", "Host: a b\r\n", "Host: [\r\n", "Host: \r\n", "Host: a/b?c#d\r\n"];
    for (const head of heads) {
      const ask = (path: string) => answers(app, `GET ${path} HTTP/1.0\r\n${head}${AUTH}\r\n`);
      expect([head, await ask("/healthz")]).toEqual([head, ["200"]]);
      expect([head, await ask("/api/v1/tasks?limit=1")]).toEqual([head, ["200"]]);
      expect([head, await ask("/api/v1/tasks?limit=0")]).toEqual([head, ["400"]]);
    }
    const body = '{"id":"t","prompt":"x"}';
    const post = `POST /api/v1/tasks HTTP/1.0\r\n${AUTH}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect(await answers(app, post)).toEqual(["201"]);
    expect((await app.get("/tasks/t")).status).toBe(200);
  });

  test("a request that Bun ends because of the bytes after it is not executed, and is not a failure of the server", async () => {
    using folder = temporaryFolder();
    await using app = await startProcess({ DATA_DIR: folder.path, LOG_LEVEL: "info" });
    const head = `POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Type: application/json\r\n`;
    const body = '{"prompt":"x"}';
    const post = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    const chunked = `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n`;
    const list = `GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n`;
    const form = `--x\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\nprompt\n\r\n--x--\r\n`;
    const upload = `POST /api/v1/files HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Type: multipart/form-data; boundary=x\r\n`;
    const cases: [name: string, bytes: string, wanted: string[]][] = [
      ["fields behind a body", `${head}${chunked}X-Sum: 1\r\n\r\n`, ["400"]],
      ["fields behind a body, announced", `${head}Trailer: X-Sum\r\n${chunked}\r\n`, ["400"]],
      [
        "fields behind an upload",
        `${upload}Transfer-Encoding: chunked\r\n\r\n${form.length.toString(16)}\r\n${form}\r\n0\r\nX-Sum: 1\r\n\r\n`,
        ["400"],
      ],
      ["noise", `${post}noise\r\n\r\n`, ["400"]],
      [
        "noise behind no body",
        `DELETE /api/v1/tasks HTTP/1.1\r\nHost: x\r\n${AUTH}\r\nnoise\r\n\r\n`,
        ["400"],
      ],
      ["another request", post + post, []],
      ["another request behind a read", list + post, []],
      ["two hosts", post.replace("Host: x", "Host: x\r\nHost: y"), ["400"]],
    ];
    for (const [name, bytes, wanted] of cases)
      expect([name, await answers(app, bytes)]).toEqual([name, wanted]);
    // Chunked bodies are accepted, in one packet or in two.
    expect(await answers(app, `${head}${chunked}\r\n`)).toEqual(["201"]);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(1);
    expect((await app.get("/files")).body.data.pagination.total).toBe(0);
    await app.kill("SIGTERM");
    expect(app.output.stderr + app.output.stdout).not.toContain('"level":"error"');
  });

  test("bytes that are not a request are refused, without harm to other connections", async () => {
    await using app = await startServer();
    const noise = [
      "\x00\x01\x02\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET /${"a".repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(40_000)}\r\n\r\n`,
      "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
      "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for (const bytes of noise) {
      const [status = "none"] = await answers(app, Buffer.from(bytes, "latin1"));
      expect([bytes.slice(0, 30), /^(4\d\d|505|none)$/.test(status)]).toEqual([
        bytes.slice(0, 30),
        true,
      ]);
    }
    expect((await app.get("/tasks")).status).toBe(200);
  });

  test("incomplete heads, incomplete bodies and resets leave nothing behind", async () => {
    await using app = await startServer({ BODY_TIMEOUT_SECONDS: "1" });
    const halves = [
      "GET /api/v1/tasks HT",
      `POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"prompt":`,
      `GET /api/v1/events HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n`,
    ];
    const open60 = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const { socket } = await open(app);
        socket.write(halves[i % halves.length] ?? "");
        return socket;
      }),
    );
    await until(() => app.runner.hub.size() === 20 || undefined);
    expect((await app.get("/tasks")).status).toBe(200);
    for (const socket of open60) socket.resetAndDestroy();
    await until(() => app.runner.hub.size() === 0 || undefined);
    await until(async () => {
      const { body } = await app.get("/metrics");
      return body.data.system.activeConnections === 1 || undefined;
    });
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
    expect((await app.get(`${app.url}/metrics`)).text).not.toMatch(/code="5\d\d"/);
  });

  test("slow bodies time out, and use no more memory than has arrived", async () => {
    await using app = await startServer({ BODY_TIMEOUT_SECONDS: "2" });
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    const head = `POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n${AUTH}Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n`;
    const slow = await Promise.all(Array.from({ length: 200 }, () => open(app)));
    for (const { socket } of slow) socket.write(head + "x".repeat(1000));
    expect((await app.get("/tasks")).status).toBe(200);
    await until(() => slow.every(({ state }) => state.text.includes(" 408 ")) || undefined);
    // 180 MB were announced, 200 kB came.
    expect(process.memoryUsage.rss() - before).toBeLessThan(60 * 1024 * 1024);
    for (const { socket } of slow) socket.destroy();
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
  });

  test("4,000 idle connections cost little memory, and others are answered", async () => {
    await using app = await startServer();
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    const sockets: Socket[] = [];
    for (let i = 0; i < 40; i++) {
      const some = await Promise.all(Array.from({ length: 100 }, () => open(app)));
      sockets.push(...some.map(({ socket }) => socket));
    }
    expect((await app.get("/tasks")).status).toBe(200);
    // Both ends of each connection are in this process.
    expect(process.memoryUsage.rss() - before).toBeLessThan(150 * 1024 * 1024);
    for (const socket of sockets) socket.destroy();
    expect((await app.get("/tasks")).status).toBe(200);
  });
});
