import packageJson from "../package.json" with { type: "json" };
import type { Config } from "./config.ts";
import type { Provider } from "./domain/provider.ts";
import { withoutSecrets } from "./lib/urls.ts";

/** The text that the terminal shows after the start of the server. */
export function banner(
  config: Config,
  port: number,
  {
    firstKey,
    loginToken,
    mostRequests,
  }: {
    firstKey: string | undefined;
    loginToken: string | undefined;
    mostRequests: number;
  },
): string {
  const shown = config.host === "0.0.0.0" || config.host === "::" ? "localhost" : config.host;
  const base = `http://${shown}:${port}`;
  const lines = [
    `GPT Task Runner ${packageJson.version}`,
    "",
    ...(config.role === "runner"
      ? [`  Health   ${base}/readyz`]
      : [`  API      ${base}/api/v1`, `  Docs     ${base}/docs`, `  Monitor  ${base}/`]),
    "",
    ...config.providers.map((provider) =>
      provider.kind === "simulator"
        ? "  No OPENAI_API_KEY or OPENAI_BASE_URL is set, so the built-in simulator answers: no network, no cost."
        : `  ${modelsOf(provider)} to ${withoutSecrets(provider.baseUrl)}`,
    ),
  ];
  if (config.encryptionKeys.length === 0)
    lines.push("  ENCRYPTION_KEY is not set: webhook secrets are stored unencrypted.");
  if (config.maxConcurrency > mostRequests)
    lines.push(
      `  MAX_CONCURRENCY is ${config.maxConcurrency}, but at most ${mostRequests} calls are made at a time: Bun reads`,
      "  BUN_CONFIG_MAX_HTTP_REQUESTS at its start. `bun run start` and the container set it.",
    );
  if (firstKey !== undefined)
    lines.push(
      "",
      "  Your admin key, shown this once (only its hash is kept):",
      "",
      `  ${firstKey}`,
    );
  if (loginToken !== undefined)
    lines.push(
      "",
      "  Or open the page with this link, which works once, within an hour:",
      "",
      `  ${base}/#/login/${loginToken}`,
    );
  return `\n${lines.join("\n")}\n`;
}

function modelsOf({ models }: Provider): string {
  return models === null ? "Tasks go" : `Tasks for ${models.join(", ")} go`;
}
