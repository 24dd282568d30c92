import { expect, test } from "bun:test";

import { KEY, startServer } from "../support/server.ts";

test("the example of a batch runs with only another base URL and key", async () => {
  await using app = await startServer();
  const child = Bun.spawn([process.execPath, "examples/openai-batch.ts"], {
    env: { OPENAI_BASE_URL: `${app.url}/v1`, OPENAI_API_KEY: KEY },
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  expect(output).toStartWith("completed");
  expect(output.match(/^city-\d /gm)).toHaveLength(3);
});
