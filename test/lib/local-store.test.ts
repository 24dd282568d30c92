import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { STORE_ID, UPLOADS } from "../../src/lib/file-store.ts";
import { systemFiles } from "../../src/lib/file-system.ts";
import { createLocalStore } from "../../src/lib/local-store.ts";
import { temporaryFolder } from "../support/process.ts";

test("processes that start on a new folder at the same time agree on its id", async () => {
  using folder = temporaryFolder();
  const identify = () =>
    Promise.all(
      Array.from({ length: 16 }, (_, i) =>
        createLocalStore({ files: systemFiles, unfinished: new Set() }, folder.path).identify(
          `store-${i}`,
          { owner: `p${i}`, mark: "1" },
        ),
      ),
    );
  const first = new Set(await identify());
  expect(first.size).toBe(1);
  expect(new Set(await identify())).toEqual(first);
  expect(readdirSync(join(folder.path, UPLOADS))).toEqual([STORE_ID]);
});

test("an invalid id is replaced", async () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, UPLOADS));
  writeFileSync(join(folder.path, UPLOADS, STORE_ID), "");
  const store = createLocalStore({ files: systemFiles, unfinished: new Set() }, folder.path);
  const by = { owner: "p", mark: "1" };
  const id = await store.identify("store-1", by);
  expect(id).toBe("store-1");
  expect(await store.identify("store-2", by)).toBe(id);
});
