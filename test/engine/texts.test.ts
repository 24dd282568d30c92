import { expect, test } from "bun:test";

import { CHUNKS } from "../../src/domain/chunks.ts";
import { startProvider } from "../support/provider.ts";
import { startServer } from "../support/server.ts";

test("prompts that are longer than an answer of the database are sent whole", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env, { chunks: { ...CHUNKS, answerBytes: 2000 } });
  const prompts = [100, 1500, 1500, 9000].map((length, i) => `${i}é`.repeat(length / 2));
  await app.post("/batches", { id: "b", tasks: prompts.map((prompt) => ({ prompt })) });
  await app.post("/batches/b/execute");
  expect(await app.finished("b")).toMatchObject({ progress: { completed: 4 } });
  expect(provider.requests.map(({ prompt }) => prompt).toSorted()).toEqual(prompts.toSorted());
});
