import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";

import { SCOPES } from "../../domain/scope.ts";
import { createKey } from "../../services/api-keys.ts";
import { appendAudit } from "../../store/audit.ts";
import { withContext } from "../database.ts";
import { wholeNumber } from "../numbers.ts";
import { EXIT_HELP, report } from "../outcome.ts";

const LONGEST_NAME = 100;
const DAY_MS = 86_400_000;

/** The actor in the audit log, which otherwise names a key. */
const BY = "command-line";

type Wishes = { name: string; scope: (typeof SCOPES)[number]; days?: number | undefined };

export function keyCommand() {
  return new Command("key")
    .description(
      "Make an API key, also when nobody has one any more, while the server runs or not. It is shown this once.",
    )
    .option("--name <name>", "what the key is called", toName, "Made by the operator")
    .addOption(
      new Option("--scope <scope>", "what it may do; each includes those before it")
        .choices(SCOPES)
        .default("admin" as const),
    )
    .option("--days <days>", "it expires after this number of days", wholeNumber(1, 36_500))
    .option("--json", "print it as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false, ...wishes }) => report(json, () => makeKey(wishes)));
}

async function makeKey({ name, scope, days }: Wishes) {
  return withContext({ isLocking: false }, async (ctx) => {
    const expiresAt = days === undefined ? null : ctx.clock.now() + days * DAY_MS;
    const { secret, record } = await createKey(ctx, { name, scopes: [scope], expiresAt });
    const { id } = record.key;
    await ctx.writer.write({
      entry: appendAudit([
        {
          at: ctx.clock.now(),
          keyId: BY,
          action: "api-keys.create",
          target: id,
          requestId: "",
          address: null,
          options: null,
        },
      ]),
    });
    const until = expiresAt === null ? null : new Date(expiresAt).toISOString();
    return {
      text: `Key ${id} (${scope}${until === null ? "" : `, until ${until}`}), shown this once:\n\n  ${secret}\n`,
      json: { id, key: secret, scope, expiresAt: until },
    };
  });
}

function toName(text: string): string {
  const name = text.trim();
  if (name === "" || name.length > LONGEST_NAME || /\p{Cc}/u.test(name))
    throw new InvalidArgumentError(`It must have 1 to ${LONGEST_NAME} characters.`);
  return name;
}
