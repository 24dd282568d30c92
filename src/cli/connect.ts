import { relative, resolve } from "node:path";
import process from "node:process";

import type { Clock } from "../lib/clock.ts";
import { type Api, createApi } from "./client.ts";
import { CliError, EXIT, usageError } from "./failure.ts";
import { findProfile } from "./profiles.ts";

/** The options that every command with a server takes. */
export type ConnectionOptions = {
  server?: string | undefined;
  key?: string | undefined;
  profile?: string | undefined;
  dir?: string | undefined;
  patience?: number | undefined;
};

export type Connection = {
  api: Api;
  /** The URL or the folder, for messages. */
  where: string;
  isEmbedded: boolean;
  /** The provider of tasks that name no model. */
  provider(): Promise<{ isSimulator: boolean; defaultModel: string }>;
  /** The options that select the same server again. */
  flags: string[];
  /** Makes an embedded server execute tasks; a running one already does. */
  start(): Promise<void>;
  close(): Promise<void>;
};

export type ConnectOptions = {
  clock: Clock;
  /** The command needs a server that executes tasks. */
  executes?: boolean;
  concurrency?: number | undefined;
  onTrouble?: (what: string | null) => void;
};

const DEFAULT_FOLDER = ".gptrunner";
const PATIENCE_SECONDS = 120;

/** The server that the options name, else the environment, else one in this process. Throws `CliError`. */
export async function connect(
  given: ConnectionOptions,
  options: ConnectOptions,
): Promise<Connection> {
  const patienceMs = (given.patience ?? PATIENCE_SECONDS) * 1000;
  const target = targetOf(given);
  if (target.kind === "embedded") return connectEmbedded(target.folder, given, options);
  const { server, key, flags } = target;
  const send = (request: Request) => fetch(request);
  const api = createApi({ ...options, base: server, key, patienceMs, send });
  return {
    api,
    provider: async () => (await api.call<{ provider: Provider }>("/status")).provider,
    where: server,
    isEmbedded: false,
    flags,
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

type Provider = Awaited<ReturnType<Connection["provider"]>>;

type Target =
  | { kind: "embedded"; folder: string }
  | { kind: "server"; server: string; key: string; flags: string[] };

/** Options take precedence over the environment. Throws if the server or its key is given twice. */
function targetOf({ server, key, profile, dir }: ConnectionOptions): Target {
  const named = Object.entries({ "--server": server, "--profile": profile, "--dir": dir })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (named.length > 1) throw usageError(`Give either ${named.join(" or ")}`);
  const { env } = process;
  if (profile !== undefined) return targetOfProfile(profile, key);
  if (server !== undefined)
    return toServer(server, key ?? env["GPTRUNNER_KEY"], ["--server", server]);
  if (dir !== undefined) return { kind: "embedded", folder: resolve(dir) };
  if (env["GPTRUNNER_SERVER"])
    return toServer(env["GPTRUNNER_SERVER"], key ?? env["GPTRUNNER_KEY"], []);
  if (env["GPTRUNNER_PROFILE"])
    return { ...targetOfProfile(env["GPTRUNNER_PROFILE"], key), flags: [] };
  if (key !== undefined) throw usageError("--key is the key of a server: name that with --server");
  return { kind: "embedded", folder: resolve(env["GPTRUNNER_DIR"] || DEFAULT_FOLDER) };
}

function targetOfProfile(name: string, key: string | undefined) {
  const profile = findProfile(name);
  return toServer(profile.server, key ?? profile.key, ["--profile", name]);
}

function toServer(server: string, key: string | undefined, flags: string[]) {
  const base = server.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  if (!/^https?:\/\//.test(base) || !URL.canParse(base))
    throw usageError(`${server} is not the address of a server, such as http://localhost:3000`);
  if (!key)
    throw new CliError(
      EXIT.notAllowed,
      `${base} needs an API key: set GPTRUNNER_KEY, give --key, or keep it with \`profile add\``,
    );
  return { kind: "server" as const, server: base, key, flags };
}

async function connectEmbedded(
  folder: string,
  { dir }: ConnectionOptions,
  options: ConnectOptions,
): Promise<Connection> {
  const { executes = false, concurrency } = options;
  // Loaded only when needed, because it is the whole server.
  const { openEmbedded } = await import("./embedded.ts");
  const { key, provider, fetch, start, close } = await openEmbedded({
    folder,
    executes,
    concurrency,
  });
  const base = "http://localhost";
  return {
    // An embedded server is always reachable, so a retry helps only while its database is busy.
    api: createApi({ ...options, base, key, patienceMs: 10_000, send: fetch }),
    provider: () => Promise.resolve(provider),
    where: `./${relative(process.cwd(), folder)}`,
    isEmbedded: true,
    flags: dir === undefined ? [] : ["--dir", dir],
    start,
    close,
  };
}
