import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ConfigError, readConfig } from "../src/config.ts";
import { SECRETS } from "../src/environment.ts";
import { secretsOf } from "../src/logging.ts";
import { startProcess, temporaryFolder } from "./support/process.ts";

/** Writes files into a folder and returns their paths by name. */
function filesIn(folder: string, contents: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(contents).map(([name, text]) => {
      writeFileSync(join(folder, name), text);
      return [name, join(folder, name)];
    }),
  );
}

function problemsOf(env: Record<string, string>): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems;
  }
}

test("every secret may come from a file, with white space around it, and is redacted as well", () => {
  using folder = temporaryFolder();
  const { keys, token, url, providers, groq, ...paths } = filesIn(folder.path, {
    keys: "\n one-of-two-keys \nthe-other-key\n",
    encryption: `${"k".repeat(40)}\n`,
    token: "token-of-the-server\r\n",
    openai: "\uFEFFsk-from-a-file\n",
    url: "http://database.test:8080\n",
    groq: "g-secret\n",
    providers: JSON.stringify({
      providers: [
        { name: "groq", baseUrl: "http://g.test/v1", models: ["llama*"], apiKeyEnv: "GROQ_KEY" },
      ],
    }),
  });
  expect(SECRETS.toSorted()).toEqual([
    "API_KEYS",
    "DATABASE_AUTH_TOKEN",
    "DATABASE_URL",
    "ENCRYPTION_KEY",
    "OPENAI_API_KEY",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
  ]);
  const config = readConfig({
    API_KEYS_FILE: keys,
    ENCRYPTION_KEY_FILE: paths["encryption"],
    DATABASE_AUTH_TOKEN_FILE: token,
    DATABASE_URL_FILE: url,
    OPENAI_API_KEY_FILE: paths["openai"],
    PROVIDERS_FILE: providers,
    GROQ_KEY_FILE: groq,
  });
  expect(config).toMatchObject({
    apiKeys: ["one-of-two-keys", "the-other-key"],
    encryptionKeys: ["k".repeat(40)],
    databaseAuthToken: "token-of-the-server",
    databaseUrl: "http://database.test:8080",
    providers: [{ apiKeys: ["g-secret"] }, { apiKeys: ["sk-from-a-file"] }],
  });
  expect(secretsOf(config)).toContain("g-secret");
});

test("errors of a secret's file are reported in a sentence each, without its content", () => {
  using folder = temporaryFolder();
  const path = folder.path;
  mkdirSync(join(path, "folder"));
  const { here, empty, large } = filesIn(path, {
    here: "sk-hidden",
    empty: " \n",
    large: "x".repeat(70_000),
  });
  const missing = join(path, "missing");
  const problems = problemsOf({
    OPENAI_API_KEY: "sk-hidden",
    OPENAI_API_KEY_FILE: here ?? "",
    API_KEYS_FILE: missing,
    ENCRYPTION_KEY_FILE: empty ?? "",
    DATABASE_AUTH_TOKEN_FILE: large ?? "",
    DATABASE_URL_FILE: join(path, "folder"),
    PORT: "none",
  });
  expect(problems.toSorted()).toEqual([
    `API_KEYS: API_KEYS_FILE names ${missing}, which cannot be read (ENOENT)`,
    `DATABASE_AUTH_TOKEN: DATABASE_AUTH_TOKEN_FILE names ${large}, which is larger than 65536 bytes`,
    `DATABASE_URL: DATABASE_URL_FILE names ${path}/folder, which is not a file`,
    `ENCRYPTION_KEY: ENCRYPTION_KEY_FILE names ${empty}, which is empty`,
    "OPENAI_API_KEY: is set, and so is OPENAI_API_KEY_FILE; keep one of them",
    "PORT: must be a whole number from 0 to 65535",
  ]);
  expect(problemsOf({ OPENAI_API_KEY: " ", OPENAI_API_KEY_FILE: here ?? "" })).toEqual([]);
  expect(problemsOf({ OPENAI_API_KEY: "sk", OPENAI_API_KEY_FILE: "" })).toEqual([]);
});

test("a server starts with the keys of a file", async () => {
  using folder = temporaryFolder();
  const { keys = "" } = filesIn(folder.path, { keys: "test-key\n" });
  await using app = await startProcess({
    DATA_DIR: folder.path,
    API_KEYS: "",
    API_KEYS_FILE: keys,
  });
  expect((await app.get("/tasks")).status).toBe(200);
});
