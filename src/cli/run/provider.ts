import type { Connection } from "../connect.ts";
import { CliError, EXIT } from "../failure.ts";

/** Answers of the simulator must never look like real ones, so they are made only on request. */
export async function requireProvider(connection: Connection, isSimulated: boolean) {
  const provider = await connection.provider();
  if (provider.isSimulator && !isSimulated) throw withoutProvider(connection);
  return provider;
}

function withoutProvider({ isEmbedded, where }: Connection): CliError {
  const message = isEmbedded
    ? "No provider is configured, and invented answers must not look like real ones. Set OPENAI_API_KEY or OPENAI_BASE_URL " +
      "(in .env, too), or try it with --simulate, which marks the results"
    : `${where} has no provider, so that its answers would be invented. Configure one there, or try it with --simulate`;
  return new CliError(EXIT.usage, message, { code: "NO_PROVIDER" });
}
