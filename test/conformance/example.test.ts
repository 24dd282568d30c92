import { expect, test } from "bun:test";

import { fail, startProvider } from "../support/provider.ts";
import { KEY, startServer } from "../support/server.ts";
import { pythonOpenAi } from "../support/tools.ts";

const PROGRAMS = {
  "examples/openai-batch.ts": process.execPath,
  "examples/openai-batch.py": pythonOpenAi,
};

test.each(Object.entries(PROGRAMS).filter(([, runtime]) => runtime !== undefined))(
  "%s runs with only another base URL and key",
  async (program, runtime = "") => {
    await using provider = await startProvider(({ prompt }, response) =>
      prompt.includes("Lima") ? fail(response, 400, { message: "no such city" }) : undefined,
    );
    await using app = await startServer(provider.env);
    const child = Bun.spawn([runtime, program], {
      env: { OPENAI_BASE_URL: `${app.url}/v1`, OPENAI_API_KEY: KEY },
      stdout: "pipe",
      stderr: "inherit",
    });
    const output = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    expect(output).toStartWith("completed");
    expect(output.match(/^city-[02] re: In which country is (Paris|Oslo)\?$/gm)).toHaveLength(2);
    expect(output).toMatch(/^city-1 .*no such city/ms);
  },
);
