import { actOn, amount, group, commaList, print, serverCommand, whole } from "./command.ts";
import { dollars, table } from "./format.ts";

type Key = {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  expiresAt: string | null;
  lastUsedAt: string | null;
  usage: { month: { costUsd: number } };
};

/** `gptrunner keys …`. */
export function keysCommand() {
  return group("keys", "Make and revoke API keys of a server")
    .addCommand(listCommand())
    .addCommand(createCommand())
    .addCommand(rotateCommand())
    .addCommand(revokeCommand());
}

function listCommand() {
  return serverCommand("ls", "List API keys, without the keys themselves").action((options) =>
    actOn(options, async ({ api }, tools) => {
      const { keys } = await api.call<{ keys: Key[] }>("/api-keys", { query: { limit: 100 } });
      await print(tools, keys, (all) =>
        table(
          ["ID", "BEGINS", "SCOPES", "EXPIRES", "LAST USED", "THIS MONTH", "NAME"],
          all.map((key) => [
            key.id,
            key.prefix,
            key.scopes.join(","),
            key.expiresAt,
            key.lastUsedAt,
            dollars(key.usage.month.costUsd),
            key.name,
          ]),
        ),
      );
    }),
  );
}

function createCommand() {
  return serverCommand("create", "Make a key and print it, this once")
    .argument("<name>", "what it is for")
    .option("--scopes <scopes>", "read, write or admin (read,write)", commaList)
    .option("--expires <time>", "such as 2027-01-01T00:00:00Z")
    .option("--budget <usd>", "what its runs may cost in a month", amount)
    .option("--rate <n>", "requests in a minute; 0 for any number", whole(0))
    .action((name, { scopes, expires, budget, rate, ...options }) =>
      actOn(options, async ({ api }, tools) => {
        const body = {
          name,
          scopes,
          expiresAt: expires,
          monthlyBudgetUsd: budget,
          rateLimitPerMinute: rate,
        };
        const made = await api.call<Key & { key: string }>("/api-keys", { method: "POST", body });
        await print(tools, made, ({ key }) => key);
      }),
    );
}

function rotateCommand() {
  return serverCommand("rotate", "Replace a key and print the new one, this once")
    .argument("<id>", "the key's id")
    .option("--overlap <seconds>", "how long the old one stays valid", whole(0))
    .action((id, { overlap, ...options }) =>
      actOn(options, async ({ api }, tools) => {
        const path = `/api-keys/${encodeURIComponent(id)}/rotate`;
        const body = overlap === undefined ? {} : { overlapSeconds: overlap };
        const made = await api.call<Key & { key: string }>(path, { method: "POST", body });
        await print(tools, made, ({ key }) => key);
      }),
    );
}

function revokeCommand() {
  return serverCommand("revoke", "Make a key invalid, at once")
    .argument("<id>", "the key's id")
    .action((id, options) =>
      actOn(options, async ({ api }, tools) => {
        await api.call(`/api-keys/${encodeURIComponent(id)}`, { method: "DELETE" });
        await print(tools, { id, revoked: true }, () => `${id} is revoked`);
      }),
    );
}
