import { type Config, ConfigError, readConfig } from "../config.ts";
import { tagOf } from "../domain/prices.ts";
import type { Provider } from "../domain/provider.ts";
import { routesOf } from "../domain/routes.ts";
import { createSystemClock } from "../lib/clock.ts";
import { createSystemRandom } from "../lib/random.ts";
import { plainAddress } from "../providers/classify.ts";
import { type Examination, examineProvider } from "../providers/examine.ts";
import { count } from "./format.ts";

export type DoctorOptions = {
  provider?: string | undefined;
  model?: string | undefined;
};

export type Report = Examination & { baseUrl: string | null; price: string | null };

/** Examines the providers of the environment, or one of them. Throws `ConfigError`. */
export function examineProviders(
  env: Record<string, string | undefined>,
  { provider, model }: DoctorOptions,
): Promise<Report[]> {
  const config = readConfig(env);
  const chosen = config.providers.filter(({ name }) => provider === undefined || name === provider);
  if (chosen.length === 0) {
    const names = config.providers.map(({ name }) => name).join(", ");
    throw new ConfigError([`There is no provider ${provider}; there are ${names}`]);
  }
  return Promise.all(chosen.map((one) => examine(config, one, model ?? null)));
}

async function examine(config: Config, provider: Provider, asked: string | null): Promise<Report> {
  const clock = createSystemClock();
  const outside = { clock, random: createSystemRandom(), fetch };
  const isOfDefault = routesOf(config, config.defaultModel).some(
    (route) => config.providers[route.provider] === provider,
  );
  const model = asked ?? (isOfDefault ? config.defaultModel : null);
  const found = await examineProvider(provider, outside, model);
  const tag =
    found.model === null ? undefined : tagOf(found.model, provider.prices, provider, clock.now());
  return {
    ...found,
    baseUrl: provider.kind === "openai" ? plainAddress(provider.baseUrl) : null,
    price: tag
      ? `${tag.price.input} / ${tag.price.output} USD (${tag.source}${tag.date === null ? "" : `, ${tag.date}`})`
      : null,
  };
}

/** A report for people: a line for each finding. */
export function describeReport(report: Report): string {
  const rows: [name: string, text: string][] = [
    ["models", describeModels(report)],
    ["answer", report.answer.error ?? describeAnswer(report)],
    ["usage", describeUsage(report)],
    ["streaming", report.streaming.error ?? describeStream(report)],
    ["schema", describeSchema(report)],
    ["limits", describeLimits(report)],
    ["refused", report.adjusted.join("; ") || "nothing of what was sent"],
    ["price", report.price ?? "not known; set it in PRICES_FILE for caps and budgets"],
    ...report.keys.map(({ key, error }): [string, string] => [`key ${key}`, error]),
    ["sent", describeEffort(report)],
  ];
  const address =
    report.baseUrl ?? "built in; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one";
  const verdict = report.isUsable ? "works" : "DOES NOT WORK";
  return [
    `${report.provider} (${address}): ${verdict}`,
    ...rows.map(([name, text]) => `  ${name.padEnd(11)}${text}`),
  ].join("\n");
}

/** What the report itself has taken, as a provider counts it. */
function describeEffort({ baseUrl, requests }: Report): string {
  if (baseUrl === null) return "nothing: the simulator is part of this program";
  return `${count(requests, "request")}, for this report`;
}

function describeModels({
  model,
  models: { listed, isListed, contextSize, near },
}: Report): string {
  if (listed === null) return "no list";
  const size = contextSize === null ? "" : `, with a context of ${contextSize} tokens`;
  const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
  if (model === null) return `${listed} listed`;
  return isListed
    ? `${listed} listed, ${model} among them${size}`
    : `${listed} listed, ${model} not among them${hint}`;
}

function describeAnswer({ model, answer: { servedBy, ms } }: Report): string {
  const other = servedBy !== null && servedBy !== model ? `, served by ${servedBy}` : "";
  return `from ${model} in ${((ms ?? 0) / 1000).toFixed(2)} s${other}`;
}

function describeUsage({ usage }: Report): string {
  if (usage === null) return "not known";
  if (usage.reported !== "reported") return `${usage.reported}; tokens will be counted here`;
  return `reported: ${usage.promptTokens} tokens in, ${usage.completionTokens} out`;
}

function describeStream({ streaming: { pieces, reportsUsage } }: Report): string {
  const usage = reportsUsage ? "usage at its end" : "without usage";
  return pieces > 1 ? `in ${pieces} pieces, ${usage}` : `none: it comes in one piece, ${usage}`;
}

function describeSchema({ schema: { support, error } }: Report): string {
  if (support === null) return error ?? "not known";
  return { kept: "kept (json_schema)", ignored: "ignored", refused: `refused: ${error}` }[support];
}

function describeLimits({ limits }: Report): string {
  const reported = [
    limits?.requests?.limit ? `${limits.requests.limit} requests` : "",
    limits?.tokens?.limit ? `${limits.tokens.limit} tokens` : "",
  ].filter((text) => text !== "");
  return reported.length > 0
    ? `${reported.join(" and ")}, as its headers say`
    : "none reported; they are learned";
}
