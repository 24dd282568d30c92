import { actOn, print, serverCommand } from "./command.ts";
import { EXIT } from "./failure.ts";

type Status = {
  status: string;
  version: string;
  services: Record<string, string>;
  reasons: { service: string; reason: string }[];
};

/** `gptrunner status`. */
export function statusCommand() {
  return serverCommand("status", "Show the state of a server, measured now").action((options) =>
    actOn(options, async ({ api, where }, tools) => {
      const found = await api.call<Status>("/status");
      await print(tools, found, ({ status, version, services, reasons }) =>
        [
          `${where}: ${status}, version ${version}`,
          ...Object.entries(services).map(([name, health]) => `  ${name.padEnd(11)}${health}`),
          ...reasons.map(({ service, reason }) => `  ${service}: ${reason}`),
        ].join("\n"),
      );
      return found.status === "unhealthy" ? EXIT.failed : EXIT.done;
    }),
  );
}
