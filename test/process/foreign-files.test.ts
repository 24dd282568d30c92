import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startSqld } from "../support/sqld.ts";
import { isRoot, sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

/** The user in the container image. */
const USER = 10001;
const AS_USER = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
const PROGRAM = [process.execPath, "src/main.ts"];

/** Only root can give files to somebody else; and that one must be able to read this checkout. */
const canBeOther =
  isRoot &&
  Bun.which("setpriv") !== null &&
  Bun.spawnSync([...AS_USER, process.execPath, "-e", "0"]).success &&
  Bun.spawnSync([...AS_USER, "test", "-r", "src/main.ts", "-a", "-r", "node_modules/hono"]).success;

/** Starts as user 10001; gives what it said, and whether it ended with 1 and in one line. */
async function refusal(env: Record<string, string>): Promise<string> {
  await using app = await startProcess(env, [...AS_USER, ...PROGRAM]);
  expect(app.url).toBeUndefined();
  expect(await app.exited()).toBe(1);
  const lines = app.output.stderr.trim().split("\n");
  expect(lines).toHaveLength(1);
  return lines[0] ?? "";
}

describe.if(canBeOther)("a volume that belongs to another user", () => {
  test("ends the start with one sentence that names the user and chown, whether it is empty or not", async () => {
    using folder = temporaryFolder();
    chmodSync(folder.path, 0o755);
    const data = join(folder.path, "data");
    const sentence = `\`chown -R ${USER}:${USER} ${data}\``;
    mkdirSync(data);
    expect(await refusal({ DATA_DIR: data })).toContain(sentence);
    await (await startProcess({ DATA_DIR: data })).kill("SIGKILL");
    for (const name of [".", "files", "task-runner.db.lock"])
      chownSync(join(data, name), USER, USER);
    expect(await refusal({ DATA_DIR: data })).toContain(sentence);
  });

  test.if(sqld !== undefined)("does so with a database server, too", async () => {
    using folder = temporaryFolder();
    chmodSync(folder.path, 0o755);
    await using database = await startSqld(folder.path);
    const data = join(folder.path, "data");
    mkdirSync(join(data, "files"), { recursive: true });
    chownSync(join(data, "files"), USER, USER);
    const env = { DATABASE_URL: database.url, DATA_DIR: data };
    expect(await refusal(env)).toContain(`chown -R ${USER}:${USER} ${data}`);
    rmSync(data, { recursive: true });
    expect(await refusal(env)).toContain(`Cannot create the data folder ${data}`);
  });
});
