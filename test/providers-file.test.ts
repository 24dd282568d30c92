import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ConfigError, readConfig } from "../src/config.ts";
import { secretsOf } from "../src/logging.ts";
import { startProcess, temporaryFolder } from "./support/process.ts";

const KEYS = { OPENAI_API_KEY: "sk-main", GROQ_API_KEY: "g1-secret", GROQ_API_KEY_2: "g2-secret" };

/** The problems of a providers file, without the path that each begins with. */
function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  using folder = temporaryFolder();
  const path = join(folder.path, "providers.json");
  writeFileSync(path, text);
  try {
    readConfig({ PROVIDERS_FILE: path, ...env });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((line) => line.replace(`PROVIDERS_FILE: ${path}, `, ""));
  }
}

const provider = (more: object) =>
  JSON.stringify(
    { providers: [{ name: "a", baseUrl: "http://a.test/v1", models: ["*"], ...more }] },
    null,
    2,
  );

describe("a providers file", () => {
  test("from the documentation is read as documented", () => {
    const config = readConfig({ PROVIDERS_FILE: "examples/providers.json", ...KEYS });
    expect(config.providers.map(({ name, models }) => [name, models])).toEqual([
      ["openai", null],
      ["groq", ["llama-3.3-*", "qwen/*"]],
      ["basement", ["llama-3.3-70b-versatile", "mistral-*"]],
    ]);
    expect(config.providers[0]).toMatchObject({
      baseUrl: "https://api.openai.com/v1",
      apiKeys: ["sk-main"],
    });
    expect(config.providers[1]).toMatchObject({
      apiKeys: ["g1-secret", "g2-secret"],
      limits: [["llama-3.3-*", { rpm: 1000, tpm: 300_000 }]],
    });
    expect(config.providers[2]).toMatchObject({ apiKeys: ["none"], maxConcurrency: 16 });
    expect(config.fallbacks).toEqual([
      ["gpt-4o-mini", ["llama-3.3-70b-versatile"]],
      ["llama-3.3-*", ["gpt-4o-mini"]],
    ]);
    expect(secretsOf(config)).toEqual(expect.arrayContaining(Object.values(KEYS)));
  });

  test("takes precedence over the environment's provider, which gets the other models", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "p.json");
    writeFileSync(path, provider({ models: ["a-*"] }));
    const { providers } = readConfig({ PROVIDERS_FILE: path, OPENAI_API_KEY: "sk-1" });
    expect(providers.map(({ name, models }) => [name, models])).toEqual([
      ["a", ["a-*"]],
      ["openai", null],
    ]);
  });

  test("that is not JSON is refused with the line", () => {
    expect(problemsOf('{\n  "providers": [\n    {"name": "a" "models": []}\n  ]\n}')).toEqual([
      "line 3: is not JSON: Unexpected token String found.",
    ]);
    expect(problemsOf('{"providers": [],\n "providers": []}')).toEqual([
      'line 2: has "providers" twice',
    ]);
    expect(problemsOf("")).toHaveLength(1);
  });

  const wrong: [string, string][] = [
    [
      provider({ limits: { "*": { rpm: 0 } } }),
      "line 11: providers[0].limits.*.rpm must be 1 or more",
    ],
    [
      provider({ limits: { "*": { tpm: -5 } } }),
      "line 11: providers[0].limits.*.tpm must be 1 or more",
    ],
    [
      provider({ limits: { "*": { rpm: 1.5 } } }),
      "line 11: providers[0].limits.*.rpm must be a whole number",
    ],
    [provider({ maxConcurrency: 0 }), "line 9: providers[0].maxConcurrency must be 1 or more"],
    [
      provider({ prices: { x: { input: -1, output: 1 } } }),
      "line 11: providers[0].prices.x.input must not be negative",
    ],
    [
      provider({ modles: ["x"] }),
      "line 9: providers[0].modles is not a known field; did you mean models?",
    ],
    [
      provider({ baseUrl: "a.test" }),
      "line 5: providers[0].baseUrl must be a URL with http or https",
    ],
    [
      provider({ apiKeyEnv: "NOT_THERE" }),
      "line 9: providers[0].apiKeyEnv names NOT_THERE, which is not set",
    ],
    [
      provider({ name: "simulator" }),
      "line 4: providers[0].name is the name of the built-in simulator",
    ],
    ['{"providers": [{"name": "b", "models": ["*"]}]}', "line 1: providers[0] has no baseUrl"],
    [
      '{"providers": [{"name": "b", "baseUrl": "http://b.test"}]}',
      "line 1: providers[0] has no models",
    ],
  ];
  test.each(wrong.map(([text, problem]) => [problem, text]))(
    "names line and field: %s",
    (problem, text) => {
      expect(problemsOf(text)).toEqual([problem]);
    },
  );

  test("that names a provider twice, does not exist, or has no provider for the default model, is refused", () => {
    const twice = JSON.parse(provider({}));
    twice.providers.push(twice.providers[0]);
    expect(problemsOf(JSON.stringify(twice))).toEqual([
      "line 1: providers[1].name is the name of another provider, too",
    ]);
    expect(() => readConfig({ PROVIDERS_FILE: "/nowhere/p.json" })).toThrow(
      "cannot be read (ENOENT)",
    );
    expect(problemsOf(provider({ models: ["a-*"] }))).toEqual([
      "DEFAULT_MODEL: no provider of PROVIDERS_FILE takes gpt-4o-mini; name one of its models",
    ]);
  });

  test("with errors ends the start with these errors", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "providers.json");
    writeFileSync(path, readFileSync("examples/providers.json", "utf8").replace("1000", "-1"));
    await using app = await startProcess({ DATA_DIR: folder.path, PROVIDERS_FILE: path, ...KEYS });
    expect(await app.exited()).toBe(1);
    expect(app.output.stderr).toContain(
      `PROVIDERS_FILE: ${path}, line 12: providers[1].limits.llama-3.3-*.rpm must be 1 or more`,
    );
  });
});
