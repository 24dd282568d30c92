import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";

import { createSystemClock } from "../../src/lib/clock.ts";
import { postGuarded } from "../../src/lib/guarded-post.ts";
import { readTarget as read, RefusedTarget } from "../../src/lib/guarded-target.ts";
import { isPublicAddress } from "../../src/lib/public-address.ts";
import { startReceiver } from "../support/receiver.ts";

const OPTIONS = {
  headers: {},
  body: "{}",
  timeoutMs: 5000,
  allowedHosts: [] as string[],
  clock: createSystemClock(),
};

const readTarget = (url: string, allowedHosts: string[]) =>
  read(url, { allowedHosts, howToAllow: "" });

describe("an address", () => {
  test("that is not public is recognised in every spelling", () => {
    const addresses = [
      "127.0.0.1",
      "10.1.1.1",
      "172.16.0.1",
      "192.168.1.1",
      "100.64.0.1",
      "169.254.169.254",
      "0.0.0.0",
      "0.1.2.3",
      "192.0.0.1",
      "192.0.2.1",
      "198.18.0.1",
      "224.0.0.1",
      "255.255.255.255",
      "240.0.0.1",
      "168.63.129.16",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:169.254.169.254",
      "::7f00:1",
      "64:ff9b::7f00:1",
      "64:ff9b::a9fe:a9fe",
      "64:ff9b:1::808:808",
      "fe80::1",
      "fc00::1",
      "fd00:ec2::254",
      "fec0::1",
      "2002:7f00:1::",
      "2001:0:1::",
      "2001:db8::1",
      "100::1",
      "ff02::1",
      "::ffff:0:127.0.0.1",
      "4000::1",
      "fe80::1%eth0",
      "localhost",
      "",
    ];
    expect(addresses.filter((address) => isPublicAddress(address))).toEqual([]);
  });

  test("that is public is recognised, too", () => {
    const some = [
      "8.8.8.8",
      "93.184.215.14",
      "2606:4700::1111",
      "::ffff:8.8.8.8",
      "64:ff9b::808:808",
    ];
    expect(some.filter((address) => isPublicAddress(address))).toEqual(some);
  });
});

describe("a target", () => {
  test.each([
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "example.com",
    "",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:6667/",
    "http://example.com:0/",
    "http://127.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://①②⑦.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://localhost/",
    "http://localhost./",
    "http://a.localhost/",
    "http://0/",
    "http://100.64.0.1/",
  ])("is refused at sight: %s", (url) => {
    expect(() => readTarget(url, [])).toThrow(RefusedTarget);
  });

  test.each([
    "https://example.com/hook?x=1",
    "http://example.com/",
    "https://example.com:8443/",
    "https://8.8.8.8/",
  ])("is taken: %s", (url) => {
    expect(readTarget(url, []).href).toBe(url);
  });

  test("of an allowed host is accepted, with any port or only with the named one", () => {
    expect(readTarget("http://127.0.0.1:22/", ["127.0.0.1"]).port).toBe("22");
    expect(readTarget("http://localhost:9000/", ["localhost:9000"]).port).toBe("9000");
    expect(() => readTarget("http://localhost:9001/", ["localhost:9000"])).toThrow(RefusedTarget);
  });
});

describe("a post", () => {
  test("to a name with one private address among others is refused, and nothing is sent", async () => {
    await using receiver = await startReceiver();
    const url = `http://rebind.example:${receiver.port}/`;
    for (const addresses of [
      ["127.0.0.1"],
      ["8.8.8.8", "127.0.0.1"],
      ["::ffff:7f00:1"],
      ["64:ff9b::7f00:1"],
    ])
      await expect(
        postGuarded(url, { ...OPTIONS, resolveHost: async () => addresses }),
      ).rejects.toThrow(RefusedTarget);
    expect(receiver.received).toEqual([]);
  });

  test("goes to the address that was checked, even if the name then resolves to another", async () => {
    await using receiver = await startReceiver();
    const asked: string[] = [];
    // 2000::1 is nobody's address. From the second lookup on, the name resolves to this machine.
    const resolveHost = async (host: string) => [asked.push(host) === 1 ? "2000::1" : "127.0.0.1"];
    const url = `http://rebind.example:${receiver.port}/`;
    const first = postGuarded(url, { ...OPTIONS, timeoutMs: 300, resolveHost });
    await expect(first).rejects.not.toThrow(RefusedTarget);
    expect(asked).toEqual(["rebind.example"]);
    await expect(postGuarded(url, { ...OPTIONS, resolveHost })).rejects.toThrow(RefusedTarget);
    expect(receiver.received).toEqual([]);
  });

  test("has the name in Host", async () => {
    await using receiver = await startReceiver();
    const url = `http://hooks.example:${receiver.port}/hook`;
    const allowed = { ...OPTIONS, allowedHosts: ["hooks.example"] };
    const answer = await postGuarded(url, { ...allowed, resolveHost: async () => ["127.0.0.1"] });
    expect(answer).toMatchObject({ status: 204, isPrivate: true });
    expect(receiver.received[0]?.headers["host"]).toBe(`hooks.example:${receiver.port}`);
  });

  test("over TLS uses the name, and accepts no certificate of another", async () => {
    const pem = readFileSync("test/support/hooks-example.pem", "utf8");
    const names: (string | false | null)[] = [];
    const server = createServer({ key: pem, cert: pem }, (request, response) => {
      names.push((request.socket as { servername?: string }).servername ?? null);
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const resolveHost = async () => ["127.0.0.1"];
    const allowed = {
      ...OPTIONS,
      ca: pem,
      allowedHosts: ["hooks.example", "other.example"],
      resolveHost,
    };
    expect(await postGuarded(`https://hooks.example:${port}/`, allowed)).toMatchObject({
      status: 200,
    });
    expect(names).toEqual(["hooks.example"]);
    await expect(postGuarded(`https://other.example:${port}/`, allowed)).rejects.toThrow();
    const { ca: _, ...withoutTrust } = allowed;
    await expect(postGuarded(`https://hooks.example:${port}/`, withoutTrust)).rejects.toThrow();
    expect(names).toHaveLength(1);
    server.close();
  });

  test("is answered when the headers have arrived, whatever happens to the body", async () => {
    await using receiver = await startReceiver(({ body }, response) => {
      response.writeHead(202, { "content-length": 1000 }).write("first");
      if (body.kind === "breaks") setTimeout(() => response.destroy(), 20);
      return new Promise(() => {});
    });
    const post = (kind: string) =>
      postGuarded(receiver.url, {
        ...OPTIONS,
        // Less than the limit for the body, because the headers came in time.
        timeoutMs: 300,
        body: JSON.stringify({ kind }),
        allowedHosts: ["127.0.0.1"],
        resolveHost: async () => ["127.0.0.1"],
      });
    const answers = await Promise.all([post("breaks"), post("hangs")]);
    expect(answers).toMatchObject([
      { status: 202, text: "first" },
      { status: 202, text: "first" },
    ]);
  });

  test.each<[string, string, (socket: Socket) => unknown]>([
    ["is reset", "content-length: 9\r\n\r\nfirst", (socket) => socket.resetAndDestroy()],
    ["is malformed", "transfer-encoding: chunked\r\n\r\n", (socket) => socket.write("no\r\n")],
  ])("is answered when the headers have arrived, even if the body %s", async (_, rest, end) => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () =>
        socket.write(`HTTP/1.1 200 OK\r\n${rest}`, () => setTimeout(() => end(socket), 20)),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const answer = await postGuarded(`http://127.0.0.1:${port}/`, {
      ...OPTIONS,
      allowedHosts: ["127.0.0.1"],
      resolveHost: async () => ["127.0.0.1"],
    });
    expect(answer.status).toBe(200);
    server.close();
  });

  test("follows no redirect, times out, and reads at most a kilobyte", async () => {
    await using receiver = await startReceiver(({ body }, response) => {
      if (body.kind === "redirect")
        response.writeHead(302, { location: "http://169.254.169.254/" }).end();
      if (body.kind === "endless") response.writeHead(200).end("x".repeat(1_000_000));
      return body.kind === "hang" ? new Promise(() => {}) : undefined;
    });
    const resolveHost = async () => ["127.0.0.1"];
    const post = (kind: string) =>
      postGuarded(receiver.url, {
        ...OPTIONS,
        timeoutMs: 500,
        allowedHosts: ["127.0.0.1"],
        body: JSON.stringify({ kind }),
        resolveHost,
      });
    expect(await post("redirect")).toMatchObject({ status: 302 });
    expect((await post("endless")).text).toHaveLength(1024);
    await expect(post("hang")).rejects.toThrow("no answer in time");
    const slowDns = {
      ...OPTIONS,
      timeoutMs: 50,
      resolveHost: () => new Promise<string[]>(() => {}),
    };
    await expect(postGuarded("https://example.com/", slowDns)).rejects.toThrow("no answer in time");
  });
});
