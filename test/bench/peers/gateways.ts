import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePort, startServer, temporaryFolder } from "../support.ts";

/** Another gateway, and what a call through it needs. */
export type Gateway = {
  name: string;
  url: string;
  headers: Record<string, string>;
  pid: number;
};

const PORTKEY = "1.15.2";
const LITELLM = "1.108.7";

/**
 * Starts other gateways in front of a provider, each as its makers say. They are installed into the folder that
 * `BENCH_PEERS` names, which is kept, or into one that is removed. Needs Node and Python.
 */
export async function startGateways(provider: string) {
  const kept = process.env["BENCH_PEERS"];
  const own = kept === undefined ? temporaryFolder("bench-gateways-") : undefined;
  const folder = kept ?? own?.path ?? "";
  mkdirSync(folder, { recursive: true });
  const portkey = installPortkey(folder);
  const litellm = installLiteLlm(folder, provider);
  const servers = [
    await startPortkey(portkey, "node", provider),
    await startPortkey(portkey, process.execPath, provider),
    await startLiteLlm(litellm),
  ];
  return {
    gateways: servers.map(({ gateway }) => gateway),
    async stop(): Promise<void> {
      for (const { stop } of servers) await stop();
      own?.remove();
    },
  };
}

function installPortkey(folder: string): string {
  const place = join(folder, `portkey-${PORTKEY}`);
  const script = join(place, "node_modules/@portkey-ai/gateway/build/start-server.js");
  if (!existsSync(script)) {
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "package.json"), '{"type":"module"}');
    run([process.execPath, "add", "--exact", `@portkey-ai/gateway@${PORTKEY}`], place);
  }
  return script;
}

async function startPortkey(script: string, runtime: string, provider: string) {
  const port = await freePort();
  const command = [runtime, script, `--port=${port}`, "--headless"];
  const url = `http://127.0.0.1:${port}`;
  const { pid, stop } = await startServer(command, `${url}/`, { NODE_ENV: "production" });
  const gateway: Gateway = {
    name: `Portkey ${PORTKEY} on ${runtime === "node" ? "Node" : "Bun"}`,
    url: `${url}/v1`,
    headers: {
      authorization: "Bearer x",
      "x-portkey-provider": "openai",
      "x-portkey-custom-host": provider,
    },
    pid,
  };
  return { gateway, stop };
}

function installLiteLlm(folder: string, provider: string) {
  const place = join(folder, `litellm-${LITELLM}`);
  const program = join(place, "bin/litellm");
  if (!existsSync(program)) {
    run(["python3", "-m", "venv", place], folder);
    run([join(place, "bin/pip"), "install", "--quiet", `litellm[proxy]==${LITELLM}`], folder);
  }
  const config = join(folder, "litellm.yaml");
  const model = "gpt-4o-mini";
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      model_list: [
        {
          model_name: model,
          litellm_params: { model: `openai/${model}`, api_base: provider, api_key: "x" },
        },
      ],
    }),
  );
  return { program, config };
}

async function startLiteLlm({ program, config }: { program: string; config: string }) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const command = [program, "--config", config, "--host", "127.0.0.1", "--port", String(port)];
  // Without a key that is long enough it does not start.
  const key = `sk-${randomBytes(32).toString("hex")}`;
  const env = {
    LITELLM_LOCAL_MODEL_COST_MAP: "True",
    LITELLM_LOG: "ERROR",
    LITELLM_MASTER_KEY: key,
  };
  const { pid, stop } = await startServer(command, `${url}/health/liveliness`, env);
  const headers = { authorization: `Bearer ${key}` };
  return { gateway: { name: `LiteLLM ${LITELLM}`, url: `${url}/v1`, headers, pid }, stop };
}

function run(command: string[], cwd: string): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().slice(-2000)}`);
}
