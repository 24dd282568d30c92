import { expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { findStrayFiles, removeStrayFiles } from "../../src/services/stray-files.ts";
import { KEY, startServer } from "../support/server.ts";

test("files that belong to nothing are found and removed, and nothing else", async () => {
  await using app = await startServer();
  const upload = async (name: string) => {
    const body = new FormData();
    body.append("file", new Blob(["prompt\nx\n"]), name);
    const headers = { authorization: `Bearer ${KEY}` };
    const answer = await fetch(`${app.url}/api/v1/files`, { method: "POST", headers, body });
    return (await answer.json()).data.id as string;
  };
  const [kept, lost] = [await upload("kept.csv"), await upload("lost.csv")];
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
