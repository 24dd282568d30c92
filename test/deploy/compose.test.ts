import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { FLEX_TIMEOUT_MS } from "../../src/domain/flex.ts";
import { METERS } from "../../src/domain/meters.ts";
import { Environment } from "../../src/environment.ts";
import { LONGEST_WAIT_SECONDS } from "../../src/http/headers.ts";
import { environmentOf, readCompose, readDockerfile } from "../support/compose.ts";
import { freePort, startProcess, temporaryFolder } from "../support/process.ts";
import { systemd } from "../support/tools.ts";

const SECONDS = /^(\d+)s$/;

describe("compose.yaml", () => {
  test("has the services of the fleet as documented", async () => {
    const services = await readCompose();
    const ofFleet = Object.keys(services).filter((name) =>
      services[name]?.profiles?.includes("fleet"),
    );
    expect(ofFleet).toEqual(["database", "api-1", "api-2", "runner-1", "runner-2", "proxy"]);
    const environments = ["api-1", "api-2", "runner-1", "runner-2"].map((name) => {
      const { ROLE, ...rest } = services[name]?.environment ?? {};
      expect(ROLE).toBe(name.replace(/-\d/, ""));
      expect(services[name]?.volumes).toEqual(["fleet-data:/data"]);
      return JSON.stringify(rest);
    });
    expect(new Set(environments).size).toBe(1);
    for (const name of ofFleet) expect(services[name]?.restart).toBe("unless-stopped");
    expect(services["database"]?.volumes).toEqual(["database:/var/lib/sqld"]);
    for (const name of ["api-1", "api-2", "runner-1", "runner-2"])
      expect(services[name]?.depends_on).toEqual({ database: { condition: "service_healthy" } });
    // What a power cut can cost depends on it.
    const interval = services["database"]?.environment["SQLD_CHECKPOINT_INTERVAL_S"];
    const operations = readFileSync("docs/operations.md", "utf8").replace(/\s+/g, " ");
    expect(operations).toContain(
      `every ten seconds with \`SQLD_CHECKPOINT_INTERVAL_S=${interval}\``,
    );
    // Only the proxy can be reached from outside.
    expect(ofFleet.filter((name) => services[name]?.ports)).toEqual(["proxy"]);
  });

  test("bounds every log, and gives nodes the image's health check, time to stop and the host's models", async () => {
    const image = await readDockerfile();
    for (const [name, service] of Object.entries(await readCompose())) {
      expect([name, service.logging]).toEqual([
        name,
        { driver: "json-file", options: { "max-size": "10m", "max-file": "5" } },
      ]);
      if (!service.env_file) continue;
      expect(service.healthcheck.test).toEqual(["CMD", ...image.healthCheck]);
      expect(service.extra_hosts).toContain("host.docker.internal:host-gateway");
      const grace = Number(service.environment["SHUTDOWN_GRACE_SECONDS"]);
      expect(grace).toBeGreaterThan(0);
      expect(Number(SECONDS.exec(service.stop_grace_period)?.[1])).toBeGreaterThan(grace);
    }
  });

  test("sets only variables that the program reads", async () => {
    const nodes = Object.values(await readCompose()).filter((service) => service.env_file);
    const names = new Set(nodes.flatMap(({ environment }) => Object.keys(environment)));
    expect([...names].filter((name) => !(name in Environment.shape))).toEqual([]);
    expect(names.size).toBeGreaterThan(5);
  });

  test("names only files that exist", async () => {
    for (const { volumes = [] } of Object.values(await readCompose()))
      for (const volume of volumes) {
        const [path = ""] = volume.split(":");
        // The operator provides the certificate.
        if (path.startsWith("./") && path !== "./deploy/tls")
          expect([path, existsSync(path)]).toEqual([path, true]);
      }
  });

  test("starts the image correctly with every value of .env.example in .env", async () => {
    using folder = temporaryFolder();
    const { runner } = await readCompose();
    const image = await readDockerfile();
    const example = readFileSync(".env.example", "utf8");
    const dotEnv = Object.fromEntries(
      [...example.matchAll(/^# ([A-Z_]+)=(.*)$/gm)].map(([, name = "", value = ""]) => [
        name,
        value,
      ]),
    );
    // There is no such bucket.
    delete dotEnv["FILES_URL"];
    expect(dotEnv).toMatchObject({ HOST: "127.0.0.1", PORT: "3000", DATA_DIR: "./data" });
    const env = environmentOf(image.env, { ...dotEnv, PORT: "99" }, runner!);
    expect(env).toMatchObject({
      HOST: "0.0.0.0",
      PORT: "3000",
      DATA_DIR: "/data",
      FILES_DIR: "/data/files",
      // Relative to /app, in which `data` leads to the volume.
      DATABASE_URL: "file:./data/task-runner.db",
    });
    expect(image.text).toContain("ln -s /data data");
    const port = String(await freePort());
    const here = (path = "") => path.replace("/data", folder.path);
    await using app = await startProcess(
      {
        ...env,
        HOST: "127.0.0.1",
        PORT: port,
        DATA_DIR: here(env["DATA_DIR"]),
        FILES_DIR: here(env["FILES_DIR"]),
        DATABASE_URL: `file:${folder.path}/task-runner.db`,
        OTEL_EXPORTER_OTLP_ENDPOINT: "",
        OPENAI_BASE_URL: "",
      },
      image.command,
    );
    expect([app.output.stderr, app.url]).toEqual(["", `http://127.0.0.1:${port}`]);
    const isReady = (port: string) =>
      Bun.spawnSync([process.execPath, ...image.healthCheck.slice(1)], {
        env: { ...env, PORT: port },
      }).exitCode;
    expect([isReady(port), isReady("1")]).toEqual([0, 1]);
  });
});

describe("the image", () => {
  test("has the labels of the OCI, with the version and the words of the package", async () => {
    const packaged = JSON.parse(readFileSync("package.json", "utf8"));
    const { text } = await readDockerfile();
    expect(text).toContain(`ARG VERSION=${packaged.version}\n`);
    expect(text).toContain(`oven/bun:${packaged.packageManager.split("@")[1]}-slim`);
    const [, labels = ""] = /^LABEL (.*)$/m.exec(text) ?? [];
    const pairs = labels.matchAll(/org\.opencontainers\.image\.(\w+)="([^"]*)"/g);
    expect(Object.fromEntries([...pairs].map(([, name, value]) => [name, value]))).toEqual({
      title: "GPT Task Runner",
      description: packaged.description,
      licenses: packaged.license,
      version: "${VERSION}",
      revision: "${REVISION}",
    });
  });

  test("takes only what runs: no maps, types and sources of packages, one libSQL, nothing of this folder", async () => {
    using folder = temporaryFolder();
    const { text } = await readDockerfile();
    const [, command = ""] = /^RUN bun install [^&]*&& (.*)$/m.exec(text) ?? [];
    const packaged = ["index.js", "index.node", "package.json", "LICENSE", "data.json"];
    const left = ["index.js.map", "index.d.ts", "index.ts", "a.mts", "a.d.cts", "README.md"];
    for (const name of ["one", "@libsql/linux-x64-gnu", "@libsql/linux-x64-musl"])
      for (const file of [...packaged, ...left.map((one) => `src/${one}`)])
        await Bun.write(join(folder.path, "node_modules", name, file), "x");
    const made = Bun.spawnSync(["sh", "-c", command], { cwd: folder.path, stderr: "pipe" });
    expect([made.stderr.toString(), made.exitCode]).toEqual(["", 0]);
    const modules = join(folder.path, "node_modules");
    expect(readdirSync(join(modules, "one")).toSorted()).toEqual(packaged.toSorted());
    expect(readdirSync(join(modules, "@libsql"))).toHaveLength(1);

    const last = text.split(/^FROM /m).at(-1) ?? "";
    const copied = [...last.matchAll(/^COPY (?:--from=\w+ )?(.*) \S+$/gm)].map(([, what]) => what);
    expect(copied).toEqual([
      "/app/node_modules",
      "package.json LICENSE",
      "drizzle",
      "src",
      "/app/dist",
    ]);
    expect(text).toContain("\nUSER 10001:10001\n");
    expect(readFileSync(".dockerignore", "utf8")).toStartWith("*\n");
  });
});

test("the documented `docker run` waits longer than the program takes to stop", () => {
  const [, seconds] = /--stop-timeout (\d+)/.exec(readFileSync("docs/deployment.md", "utf8")) ?? [];
  const grace = Environment.shape.SHUTDOWN_GRACE_SECONDS.parse(undefined);
  expect(Number(seconds)).toBeGreaterThan(grace);
});

describe("the unit for systemd", () => {
  test.if(systemd !== undefined)("has only what systemd knows", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "gpt-task-runner.service");
    const text = readFileSync("deploy/gpt-task-runner.service", "utf8");
    // The program is not in /opt here, and systemd-analyze looks for it.
    writeFileSync(path, text.replace(/^ExecStart=.*$/m, "ExecStart=/usr/bin/env true"));
    const { exitCode, stderr } = Bun.spawnSync([systemd ?? "", "verify", path]);
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  });

  test("starts the program with its writable folder, whatever its settings file contains", async () => {
    using folder = temporaryFolder();
    const unit = readFileSync("deploy/gpt-task-runner.service", "utf8");
    const valueOf = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1] ?? "";
    const state = `/var/lib/${valueOf("StateDirectory")}`;
    const command = valueOf("ExecStart")
      .replaceAll(state, folder.path)
      .replace("/usr/local/bin/bun", process.execPath)
      .split(" ");
    const settings = { DATA_DIR: "./data", FILES_DIR: "./data/files", PORT: "0" };
    await using app = await startProcess(settings, command);
    expect(app.url).toBeDefined();
    expect(existsSync(join(folder.path, "task-runner.db"))).toBe(true);
    expect(Number(valueOf("TimeoutStopSec"))).toBeGreaterThan(25);
  });
});

test("the proxies wait longer for an answer than the server takes", () => {
  const secondsIn = (path: string) => {
    const text = readFileSync(join("deploy", path), "utf8");
    const [, seconds] = /(?:proxy_read|response_header)_timeout (\d+)s/.exec(text) ?? [];
    return Number(seconds);
  };
  const { LIVE_MAX_WAIT_MS } = Environment.shape;
  const longestCall = (FLEX_TIMEOUT_MS + LIVE_MAX_WAIT_MS.parse(undefined)) / 1000;
  expect(secondsIn("nginx/proxy.conf")).toBeGreaterThan(LONGEST_WAIT_SECONDS);
  for (const path of ["nginx/server.conf", "nginx/fleet.conf", "Caddyfile"])
    expect(secondsIn(path)).toBeGreaterThan(longestCall);
});

test("every alert rule says what to do, and has a row in the documentation", () => {
  const { groups } = Bun.YAML.parse(readFileSync("deploy/prometheus/alerts.yml", "utf8")) as {
    groups: { rules: { alert: string; annotations: Record<string, string> }[] }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  const silent = rules.filter(({ annotations }) => (annotations["description"] ?? "").length < 20);
  const docs = readFileSync("docs/deployment.md", "utf8");
  const rows = [...docs.matchAll(/^\| `(GptRunner\w+)` +\|/gm)].map(([, name]) => name);
  expect([silent, rows]).toEqual([[], rules.map(({ alert }) => alert)]);
});

test("the alert rules name only existing metrics", () => {
  const rules = readFileSync("deploy/prometheus/alerts.yml", "utf8");
  const named = new Set([...rules.matchAll(/gptrunner_(\w+)/g)].map(([, name = ""]) => name));
  expect(named.size).toBeGreaterThan(9);
  expect([...named].filter((name) => !(name in METERS))).toEqual([]);
});
