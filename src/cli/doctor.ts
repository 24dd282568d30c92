import process from "node:process";

import { ConfigError } from "../config.ts";
import { act, command, print } from "./command.ts";
import { EXIT, usageError } from "./failure.ts";

/** `gptrunner doctor`. */
export function doctorCommand() {
  return command(
    "doctor",
    "Look at the providers of the environment: models, an answer, a stream, a schema, usage, limits. " +
      "That takes three answers of a few tokens from each, and a request more for each parameter that is refused",
  )
    .option("--provider <name>", "this provider only")
    .option("--model <name>", "with this model")
    .action(({ json, ...options }) =>
      act(json, async (tools) => {
        const { describeReport, examineProviders } = await import("./examine.ts");
        const providers = await examineProviders(process.env, options).catch((error: unknown) => {
          throw error instanceof ConfigError ? usageError(error.problems.join("\n")) : error;
        });
        await print(tools, { providers }, () => providers.map(describeReport).join("\n\n"));
        return providers.every(({ isUsable }) => isUsable) ? EXIT.done : EXIT.failed;
      }),
    );
}
