import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { type RunnerProcess, startProcess, temporaryFolder } from "../support/process.ts";
import { KEY, until } from "../support/server.ts";

const HEADERS = { authorization: `Bearer ${KEY}` };

/** The files of a folder that a process has open, by their paths. */
function openFiles({ child }: RunnerProcess, folder: string): string[] {
  const fds = `/proc/${child.pid}/fd`;
  return readdirSync(fds).flatMap((fd) => {
    try {
      const target = readlinkSync(join(fds, fd));
      return target.startsWith(folder) ? target : [];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
}

test("reading files, in part or not at all, leaves none of them open", async () => {
  using folder = temporaryFolder();
  const files = join(folder.path, "files");
  mkdirSync(files);
  writeFileSync(
    join(files, "long.csv"),
    `prompt\n${"a prompt of some length\n".repeat(30_000)}"no end`,
  );
  await using app = await startProcess({ DATA_DIR: folder.path, MAX_STREAMS_PER_KEY: "2" });
  const api = `${app.url}/api/v1`;
  const form = new FormData();
  form.append("file", new Blob(["x".repeat(500_000)]), "up.csv");
  const upload = await fetch(`${api}/files`, { method: "POST", headers: HEADERS, body: form });
  const content = `files/${(await upload.json()).data.id}/content`;
  const work = async () => {
    for (let i = 0; i < 3; i++) {
      await app.post("/batches", { inputFile: "long.csv" });
      await app.post("/batches", { inputFile: "long.csv", config: { promptTemplate: "{{none}}" } });
      for (const dialect of [api, `${app.url}/v1`]) {
        const head = await fetch(`${dialect}/${content}`, { method: "HEAD", headers: HEADERS });
        expect([head.status, head.headers.get("content-length")]).toEqual([200, "500000"]);
      }
      const stream = await fetch(`${api}/events`, { method: "HEAD", headers: HEADERS });
      expect([stream.status, stream.headers.get("content-type")]).toEqual([
        200,
        "text/event-stream; charset=utf-8",
      ]);
    }
  };
  await work();
  await until(() => openFiles(app, files).length === 0);
});

test.each(["SIGKILL", "SIGTERM"] as const)(
  "what an upload that %s cuts off has written goes away",
  async (signal) => {
    using folder = temporaryFolder();
    const env = { DATA_DIR: folder.path, SHUTDOWN_GRACE_SECONDS: "0" };
    const uploads = () => {
      const names = readdirSync(join(folder.path, "files"), { recursive: true }).map(String);
      return names.filter((name) => name.endsWith(".tmp"));
    };
    {
      await using app = await startProcess(env);
      const { hostname, port } = new URL(app.url ?? "");
      const socket = connect(Number(port), hostname);
      socket.on("error", () => undefined);
      socket.write(
        `POST /api/v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\n` +
          "content-type: multipart/form-data; boundary=B\r\ncontent-length: 9000000\r\n\r\n" +
          '--B\r\ncontent-disposition: form-data; name="file"; filename="f.csv"\r\n\r\n',
      );
      socket.write(Buffer.alloc(1_000_000, 97));
      await until(() => uploads().length === 1);
      await app.kill(signal);
      socket.destroy();
    }
    if (signal === "SIGTERM") expect(uploads()).toEqual([]);
    await using app = await startProcess(env);
    await until(() => uploads().length === 0);
    expect(app.url).toBeDefined();
  },
);
