import {
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { type Config, ConfigError, readConfig } from "../config.ts";
import { routesOf } from "../domain/routes.ts";
import { FILE_MODE, FOLDER_MODE } from "../lib/file-system.ts";
import { randomSecret } from "../lib/secrets.ts";
import { StartError } from "../lib/start-error.ts";
import { configureLogging, secretsOf } from "../logging.ts";
import { createRunner, type Runner } from "../runner.ts";
import { CliError, EXIT, usageError } from "./failure.ts";

export type Embedded = {
  key: string;
  /** The provider of tasks that name no model. */
  provider: { isSimulator: boolean; defaultModel: string };
  fetch: (request: Request) => Response | Promise<Response>;
  /** Starts executing tasks. Until then requests are answered, but nothing is sent to a provider. */
  start(): Promise<void>;
  /** Stops the server; calls in flight get SHUTDOWN_GRACE_SECONDS to finish. */
  close(): Promise<void>;
};

export type EmbeddedOptions = {
  folder: string;
  /** If false, nothing is executed, so the data in the folder are not changed by running tasks. */
  executes: boolean;
  /** The concurrency that the command requests. */
  concurrency?: number | undefined;
};

/**
 * The server in this process, without a port. Its database and files are in `folder`; its providers come from the
 * environment. Throws `CliError` if it cannot start.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { folder } = options;
  const key = keyOf(folder);
  const config = configOf(options, key);
  await configureLogging(config, secretsOf(config));
  const runner = await startOrExplain(config, folder);
  let isStarted = false;
  return {
    key,
    provider: providerOf(config),
    fetch: (request) => runner.fetch(request, { address: () => "127.0.0.1" }),
    async start() {
      if (isStarted) return;
      isStarted = true;
      await runner.start();
    },
    async close() {
      if (isStarted) await runner.stop(config.shutdownGraceMs);
      await runner.close();
    },
  };
}

/** The configuration of a server, with another folder, key and log level. */
function configOf({ folder, executes, concurrency = 0 }: EmbeddedOptions, key: string): Config {
  const others = process.env["API_KEYS"]?.trim();
  const own = {
    DATA_DIR: folder,
    DATABASE_URL: "",
    FILES_DIR: "",
    HOST: "127.0.0.1",
    // The keys of a server that uses this folder at other times stay valid.
    API_KEYS: others ? `${key},${others}` : key,
    RATE_LIMIT_PER_MINUTE: "0",
    MAX_STREAMS_PER_KEY: "0",
    MAX_WAITS_PER_KEY: "0",
    ROLE: executes ? "all" : "api",
    // Only errors, which go to standard error, because results may go to standard output.
    LOG_LEVEL: "error",
    LOG_FORMAT: "pretty",
  };
  try {
    const config = readConfig({ ...process.env, ...own });
    return { ...config, maxConcurrency: Math.max(config.maxConcurrency, concurrency) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw usageError(`The environment is not usable:\n  ${error.problems.join("\n  ")}`);
  }
}

function providerOf(config: Config): Embedded["provider"] {
  const { defaultModel, providers } = config;
  const [route] = routesOf(config, defaultModel);
  return { isSimulator: providers[route?.provider ?? 0]?.kind !== "openai", defaultModel };
}

/** The key of the folder. It stays the same, because costs and idempotency keys belong to an API key. */
function keyOf(folder: string): string {
  const path = join(folder, "key");
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    // Prompts and answers must not be committed to a repository.
    const ignore = join(folder, ".gitignore");
    if (!existsSync(ignore)) writeFileSync(ignore, "*\n");
    if (!existsSync(path)) makeKey(path);
    const key = readFileSync(path, "utf8").trim();
    if (/^gtr_[0-9a-z]{40}$/.test(key)) return key;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.failed, `The folder ${folder} cannot be used: ${why}`);
  }
  throw new CliError(
    EXIT.failed,
    `${path} does not contain a key: remove it, and a new key is created`,
  );
}

/**
 * If two commands start at once in a new folder, one of them creates the key. It gets its name when it is written, so
 * that the other never reads an empty file.
 */
function makeKey(path: string): void {
  const key = `gtr_${randomSecret(40)}\n`;
  const temporary = `${path}.${randomSecret(16)}.tmp`;
  try {
    writeFileSync(temporary, key, { mode: FILE_MODE, flag: "wx" });
    linkOrCopy(temporary, path);
  } catch (error) {
    if (!isTaken(error)) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Gives a file another name. Throws `EEXIST` if the name is taken. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    // Some file systems have no links.
    if (isTaken(error)) throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}

async function startOrExplain(config: Config, folder: string): Promise<Runner> {
  try {
    return await createRunner(config);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    if (!error.message.startsWith("Another GPT Task Runner is using"))
      throw new CliError(EXIT.failed, `${error.message} (--dir names another folder)`);
    throw new CliError(
      EXIT.unavailable,
      `Another gptrunner is at work in ${folder}. Wait for it or stop it, or name another folder with --dir`,
      { code: "FOLDER_IN_USE" },
    );
  }
}
