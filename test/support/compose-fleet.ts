import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { environmentOf, readCompose, readDockerfile, type Service, startNames } from "./compose.ts";
import { freePort, startProcess, temporaryFolder } from "./process.ts";
import { until } from "./server.ts";
import { nginx, sqld } from "./tools.ts";

export type FleetName = "database" | "api-1" | "api-2" | "runner-1" | "runner-2" | "proxy";

/** Six processes share a machine that may be busy. */
const PATIENCE_MS = 60_000;

/** In the order of their dependencies. */
const NAMES: FleetName[] = ["database", "api-1", "api-2", "runner-1", "runner-2", "proxy"];
/** Each container has its own address, and all use the same port. */
const ADDRESSES = { "api-1": "127.0.0.2", "api-2": "127.0.0.3" };

/**
 * The processes that compose.yaml declares for the profile `fleet`, started without Docker but with the
 * environment that it gives them. `dotEnv` is the content of `.env`. Addresses of this machine stand in for the names
 * of containers, and folders for volumes.
 */
export async function startComposeFleet(dotEnv: Record<string, string>) {
  const folder = temporaryFolder();
  const [services, image, databasePort, apiPort, proxyPort] = await Promise.all([
    readCompose(),
    readDockerfile(),
    freePort(),
    freePort(),
    freePort(),
  ]);
  const names = await startNames(Object.values(ADDRESSES));
  const ca = makeCertificate(folder.path);
  const origin = `https://127.0.0.1:${proxyPort}`;
  const running = new Map<FleetName, Bun.Subprocess>();

  async function start(name: FleetName): Promise<void> {
    const service = services[name];
    if (!service) throw new Error(`compose.yaml has no service ${name}`);
    running.set(name, await startOne(name, service));
  }

  async function startOne(name: FleetName, service: Service): Promise<Bun.Subprocess> {
    if (name === "database") return startDatabase(service);
    if (name === "proxy") return startProxy();
    const env = environmentOf(image.env, dotEnv, service);
    if (env["HOST"] !== "0.0.0.0" || env["PORT"] !== "3000")
      throw new Error(`nobody reaches ${name} at ${env["HOST"]}:${env["PORT"]}`);
    const isApi = name === "api-1" || name === "api-2";
    const app = await startProcess(
      {
        ...env,
        ...volumeHere(service, env),
        DATABASE_URL:
          env["DATABASE_URL"]?.replace("database:8080", `127.0.0.1:${databasePort}`) ?? "",
        HOST: isApi ? ADDRESSES[name] : "127.0.0.1",
        PORT: isApi ? String(apiPort) : "0",
      },
      image.command,
    );
    if (app.url === undefined) throw new Error(`${name} did not start: ${app.output.stderr}`);
    return app.child;
  }

  /** The variables that name a folder in a volume, with the local folder in its place. */
  function volumeHere({ volumes: [volume = ""] }: Service, env: Record<string, string>) {
    const [name = "", place = ""] = volume.split(":");
    const here = join(folder.path, "volumes", name);
    mkdirSync(here, { recursive: true });
    return Object.fromEntries(
      Object.entries(env)
        .filter(([, value]) => value === place || value.startsWith(`${place}/`))
        .map(([variable, value]) => [variable, value.replace(place, here)]),
    );
  }

  async function startDatabase(service: Service): Promise<Bun.Subprocess> {
    const { environment } = service;
    const address = environment["SQLD_HTTP_LISTEN_ADDR"]?.replace(
      "0.0.0.0:8080",
      `127.0.0.1:${databasePort}`,
    );
    const child = Bun.spawn([sqld ?? ""], {
      env: { ...environment, ...volumeHere(service, environment), SQLD_HTTP_LISTEN_ADDR: address },
      stdout: "ignore",
      stderr: "ignore",
    });
    const [, ...check] = service.healthcheck.test.map((word) =>
      word.replace("8080", String(databasePort)),
    );
    running.set("database", child);
    await until(() => Bun.spawnSync(check).success || undefined, PATIENCE_MS);
    return child;
  }

  async function startProxy(): Promise<Bun.Subprocess> {
    const config = writeProxyConfig(folder.path, [
      ["127.0.0.11", names.address],
      ["api:3000", `api:${apiPort}`],
      ["listen 8443", `listen 127.0.0.1:${proxyPort}`],
      ["/etc/nginx/proxy.conf", join(folder.path, "proxy.conf")],
      ["/etc/nginx/tls", join(folder.path, "deploy/tls")],
    ]);
    const child = Bun.spawn([nginx ?? "", "-c", config], { stdout: "ignore", stderr: "inherit" });
    running.set("proxy", child);
    await until(() => isOk(`${origin}/readyz`, { ca }), PATIENCE_MS);
    return child;
  }

  async function kill(name: FleetName): Promise<void> {
    const child = running.get(name);
    child?.kill("SIGKILL");
    await child?.exited;
  }

  async function startAll(): Promise<void> {
    const [database, ...others] = NAMES;
    if (database) await start(database);
    const proxy = others.pop();
    // Each must be known before one that did not start ends them all.
    const started = await Promise.allSettled(others.map(start));
    for (const one of started) if (one.status === "rejected") throw one.reason;
    if (proxy) await start(proxy);
  }

  async function dispose(): Promise<void> {
    for (const name of NAMES.toReversed()) await kill(name);
    names[Symbol.dispose]();
    folder[Symbol.dispose]();
  }

  try {
    await startAll();
  } catch (error) {
    await dispose();
    throw error;
  }
  return { origin, ca, kill, start, [Symbol.asyncDispose]: dispose };
}

async function isOk(url: string, tls?: { ca: string }): Promise<true | undefined> {
  return fetch(url, tls ? { tls } : {}).then(
    ({ ok }) => ok || undefined,
    () => undefined,
  );
}

/** Makes the certificate with the command in the documentation, and returns its text. */
function makeCertificate(folder: string): string {
  const docs = readFileSync("docs/deployment.md", "utf8");
  const command = /^openssl req [^`]*?pem$/m.exec(docs)?.[0] ?? "";
  mkdirSync(join(folder, "deploy/tls"), { recursive: true });
  const made = Bun.spawnSync(["bash", "-c", command], { cwd: folder, stderr: "pipe" });
  if (!made.success) throw new Error(made.stderr.toString());
  return readFileSync(join(folder, "deploy/tls/fullchain.pem"), "utf8");
}

/** The proxy's configuration inside what the nginx image adds. nginx runs as one process, so that one kill ends it. */
function writeProxyConfig(folder: string, places: [string, string][]): string {
  const site = places.reduce(
    (text, [from, to]) => text.replaceAll(from, to),
    readFileSync("deploy/nginx/fleet.conf", "utf8"),
  );
  copyFileSync("deploy/nginx/proxy.conf", join(folder, "proxy.conf"));
  const path = join(folder, "nginx.conf");
  writeFileSync(
    path,
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr crit;
    events {}
    http {
      client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p;
      fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      ${site}
    }`,
  );
  return path;
}
