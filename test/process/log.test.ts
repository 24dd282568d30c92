import { expect, test } from "bun:test";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import type { Json } from "../support/server.ts";

test("the log leads from a request to how its execution ended", async () => {
  await using provider = await startProvider(({ prompt }, response) =>
    prompt === "bad" ? fail(response, 400) : undefined,
  );
  using folder = temporaryFolder();
  await using app = await startProcess({
    DATA_DIR: folder.path,
    ...provider.env,
    LOG_LEVEL: "info",
  });
  await app.post("/tasks", { id: "good", prompt: "good" });
  await app.post("/tasks", { id: "bad", prompt: "bad" });
  for (const id of ["good", "bad"])
    await app.post(`/tasks/${id}/execute`, undefined, { "x-request-id": `start-${id}` });
  await app.ended("good");
  await app.ended("bad");
  await app.kill("SIGTERM");

  const lines: Json[] = `${app.output.stdout}\n${app.output.stderr}`
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const started = (id: string) => lines.filter(({ requestId }) => requestId === `start-${id}`);
  expect([started("good").length, started("bad").length]).toEqual([1, 1]);
  const ends = lines.filter(({ logger }) => logger === "gptrunner.executions");
  // A success is a line at `debug` only.
  expect(ends).toMatchObject([
    {
      level: "warning",
      executionId: started("bad")[0].executionId,
      code: "PROVIDER_REJECTED_REQUEST",
      providerStatus: 400,
      attempts: 1,
    },
  ]);
});
