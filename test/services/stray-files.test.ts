import { expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { findStrayFiles, removeStrayFiles } from "../../src/services/stray-files.ts";
import { startMoto } from "../support/moto.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";
import { moto } from "../support/tools.ts";

async function upload(app: TestServer, name: string): Promise<string> {
  const body = new FormData();
  body.append("file", new Blob(["prompt\nx\n"]), name);
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(`${app.url}/api/v1/files`, { method: "POST", headers, body });
  return (await answer.json()).data.id;
}

test("files that belong to nothing are found and removed, and nothing else", async () => {
  await using app = await startServer();
  const [kept, lost] = [await upload(app, "kept.csv"), await upload(app, "lost.csv")];
  const at = (...names: string[]) => join(app.filesDir, ...names);
  mkdirSync(at("reports"));
  const put = (path: string, isOld: boolean) => {
    writeFileSync(path, "x");
    if (isOld) utimesSync(path, 1, 1);
    return path;
  };
  const old = [
    put(at(".uploads", "file-0old"), true),
    put(at("reports", ".out.csv.abc-def.tmp"), true),
  ];
  const others = [
    put(at(".uploads", "file-0young"), false),
    put(at("reports", ".out.csv.abc-ghi.tmp"), false),
    put(at("reports", "mine.csv"), true),
    at(".uploads", kept),
  ];
  utimesSync(at(".uploads", kept), 1, 1);
  rmSync(at(".uploads", lost));

  const found = await findStrayFiles(app.ctx);
  expect(found.stray.map(({ path }) => path).toSorted()).toEqual([
    ".uploads/file-0old",
    "reports/.out.csv.abc-def.tmp",
  ]);
  expect(found.missing).toEqual([{ id: lost, name: "lost.csv" }]);
  // Another process deleted one of them first.
  const known = { path: join(".uploads", kept), why: "" };
  expect(await removeStrayFiles(app.ctx, [...found.stray, known])).toBe(2);
  expect(old.filter((path) => existsSync(path))).toEqual([]);
  expect(others.filter((path) => !existsSync(path))).toEqual([]);
});

test.if(moto !== undefined)("so are those of a bucket", async () => {
  await using bucket = await startMoto();
  await using app = await startServer(bucket.env);
  const [kept, lost] = [await upload(app, "kept.csv"), await upload(app, "lost.csv")];
  const { fileStore } = app.ctx;
  const mark = { owner: "test", mark: "1" };
  async function* content() {
    yield "x";
  }
  await fileStore.write({ upload: "file-0old" }, mark, content());
  await fileStore.write({ path: "mine.csv" }, mark, content());
  await fileStore.remove({ upload: lost });
  expect((await findStrayFiles(app.ctx)).stray).toEqual([]);

  const later = { ...app.ctx, clock: { ...app.ctx.clock, now: () => Date.now() + 2 * 3_600_000 } };
  const found = await findStrayFiles(later);
  expect(found.stray.map(({ path }) => path)).toEqual([".uploads/file-0old"]);
  expect(found.missing).toEqual([{ id: lost, name: "lost.csv" }]);
  const known = { path: `.uploads/${kept}`, why: "" };
  expect(await removeStrayFiles(later, [...found.stray, known])).toBe(1);
  expect(await fileStore.open({ upload: "file-0old" })).toBeUndefined();
  expect(await fileStore.open({ upload: kept })).toBeDefined();
  expect(await fileStore.open({ path: "mine.csv" })).toBeDefined();
});
