import { afterAll, expect, mock, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";

import { tryPassingLock } from "../../src/db/file-lock.ts";
import { backup, saidOf } from "../support/backup.ts";
import { temporaryFolder } from "../support/process.ts";
import { startServer } from "../support/server.ts";

const real = { ...fs };

/** Does something once, before the first call of a synchronous function of the file system. */
async function beforeCall(name: "renameSync" | "statSync", act: () => void): Promise<void> {
  const call = real[name] as (...args: never[]) => unknown;
  let isDone = false;
  const acting = (...args: never[]) => {
    if (!isDone) {
      isDone = true;
      act();
    }
    return call(...args);
  };
  await mock.module("node:fs", () => ({ ...real, [name]: acting }));
}

afterAll(() => mock.module("node:fs", () => real));

const PROGRAM = join(import.meta.dir, "../../src/cli/main.ts");

test("a second backup to one folder is refused until the first one has its name", async () => {
  using folder = temporaryFolder();
  const [source, target] = [join(folder.path, "a"), join(folder.path, "backup")];
  await using app = await startServer({ DATA_DIR: source });
  await app.post("/tasks", { prompt: "x" });
  const other = { code: 0, err: "" };
  await beforeCall("renameSync", () => {
    const env = { PATH: process.env["PATH"] ?? "", DATA_DIR: source };
    const child = Bun.spawnSync([process.execPath, PROGRAM, "backup", target], { env });
    Object.assign(other, { code: child.exitCode, err: child.stderr.toString() });
  });
  expect(await saidOf(backup({ DATA_DIR: source }, target))).toBe("it was done");
  expect(other).toEqual({
    code: 7,
    err: expect.stringContaining(`Another backup is being written to ${target}`),
  });
  expect(fs.readdirSync(folder.path).toSorted()).toEqual(["a", "backup"]);
  expect(fs.readdirSync(target)).toContain("manifest.json");
});

test("a backup that fails leaves nothing", async () => {
  using folder = temporaryFolder();
  const [source, target] = [join(folder.path, "a"), join(folder.path, "backup")];
  await (await startServer({ DATA_DIR: source })).stop();
  await beforeCall("renameSync", () => {
    throw new Error("the disk is full");
  });
  expect(await saidOf(backup({ DATA_DIR: source }, target))).toContain("the disk is full");
  expect(fs.readdirSync(folder.path)).toEqual(["a"]);
});

test("a lock on a file that its holder before has removed counts for nothing", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "backup.partial");
  await beforeCall("statSync", () => fs.rmSync(`${path}.lock`));
  const unlock = await tryPassingLock(path, "folder");
  expect(unlock).toBeDefined();
  expect(await tryPassingLock(path, "folder")).toBeUndefined();
  unlock?.();
  expect(fs.readdirSync(folder.path)).toEqual([]);
});
