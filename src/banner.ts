import packageJson from "../package.json" with { type: "json" };
import type { Config } from "./config.ts";
import type { Provider } from "./domain/provider.ts";
import { withoutSecrets } from "./lib/urls.ts";

/** The facts about a server that has started, for people and for programs. */
export type Started = {
  version: string;
  role: Config["role"];
  url: string;
  providers: { name: string; models: string[] | null; baseUrl: string | null }[];
  warnings: string[];
  /** Only at the first start, and without API_KEYS. */
  adminKey: string | null;
  loginUrl: string | null;
};

export function startedFacts(
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
): Started {
  const shown = config.host === "0.0.0.0" || config.host === "::" ? "localhost" : config.host;
  const url = `http://${shown}:${port}`;
  const warnings = [];
  if (config.encryptionKeys.length === 0)
    warnings.push("ENCRYPTION_KEY is not set: webhook secrets are stored unencrypted.");
  if (config.maxConcurrency > mostRequests)
    warnings.push(
      `MAX_CONCURRENCY is ${config.maxConcurrency}, but at most ${mostRequests} calls are made at a time: Bun reads ` +
        "BUN_CONFIG_MAX_HTTP_REQUESTS at its start. `bun run start` and the container set it.",
    );
  return {
    version: packageJson.version,
    role: config.role,
    url,
    providers: config.providers.map((provider) => ({
      name: provider.name,
      models: provider.models,
      baseUrl: provider.kind === "simulator" ? null : withoutSecrets(provider.baseUrl),
    })),
    warnings,
    adminKey: firstKey ?? null,
    loginUrl: loginToken === undefined ? null : `${url}/#/login/${loginToken}`,
  };
}

/** The text that the terminal shows after the start of the server. */
export function banner({
  version,
  role,
  url,
  providers,
  warnings,
  adminKey,
  loginUrl,
}: Started): string {
  const lines = [
    `GPT Task Runner ${version}`,
    "",
    ...(role === "runner"
      ? [`  Health   ${url}/readyz`]
      : [`  API      ${url}/api/v1`, `  Docs     ${url}/docs`, `  Page     ${url}/`]),
    "",
    ...providers.map(({ models, baseUrl }) =>
      baseUrl === null
        ? "  No OPENAI_API_KEY or OPENAI_BASE_URL is set, so the built-in simulator answers: no network, no cost."
        : `  ${modelsOf(models)} to ${baseUrl}`,
    ),
    ...warnings.map((text) => `  ${text}`),
  ];
  if (adminKey !== null)
    lines.push(
      "",
      "  Your admin key, shown this once (only its hash is kept):",
      "",
      `  ${adminKey}`,
    );
  if (loginUrl !== null)
    lines.push(
      "",
      "  Or open the page with this link, which works once, within an hour:",
      "",
      `  ${loginUrl}`,
    );
  return `\n${lines.join("\n")}\n`;
}

function modelsOf(models: Provider["models"]): string {
  return models === null ? "Tasks go" : `Tasks for ${models.join(", ")} go`;
}
