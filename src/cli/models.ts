import { actOn, print, serverCommand } from "./command.ts";
import { table } from "./format.ts";

type Model = {
  id: string;
  provider: string;
  contextSize: number | null;
  price: { input: number; output: number } | null;
};

/** `gptrunner models`. */
export function modelsCommand() {
  return serverCommand("models", "List the models that are known, with their prices")
    .option("--provider <name>", "of this provider only")
    .action(({ provider, ...options }) =>
      actOn(options, async ({ api }, tools) => {
        const { models } = await api.call<{ models: Model[] }>("/models", { query: { provider } });
        await print(tools, models, (all) =>
          table(
            ["MODEL", "PROVIDER", "CONTEXT", "USD/M IN", "USD/M OUT"],
            all.map(({ id, provider: by, contextSize, price }) => [
              id,
              by,
              contextSize,
              price?.input ?? null,
              price?.output ?? null,
            ]),
          ),
        );
      }),
    );
}
