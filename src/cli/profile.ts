import process from "node:process";

import { act, command, group, print } from "./command.ts";
import { usageError } from "./failure.ts";
import { table } from "./format.ts";
import { findProfile, profilesPath, readProfiles, writeProfiles } from "./profiles.ts";

/** `gptrunner profile …`. */
export function profileCommand() {
  return group("profile", "Keep the addresses and keys of servers under names")
    .addCommand(listCommand())
    .addCommand(addCommand())
    .addCommand(removeCommand());
}

function listCommand() {
  return command("ls", "List profiles, without their keys").action((options) =>
    act(options.json, (tools) => {
      const all = Object.entries(readProfiles()).map(([name, { server }]) => ({ name, server }));
      return print(tools, all, () =>
        table(
          ["NAME", "SERVER"],
          all.map(({ name, server }) => [name, server]),
        ),
      );
    }),
  );
}

function addCommand() {
  return command("add", "Store a server and its key, for --profile NAME")
    .argument("<name>", "what it is called")
    .requiredOption("--server <url>", "its address")
    .option(
      "--key <key>",
      "its API key; better in GPTRUNNER_KEY, where no list of processes shows it",
    )
    .action((name, { server, key = process.env["GPTRUNNER_KEY"], json }) =>
      act(json, (tools) => {
        if (!key) throw usageError("Set GPTRUNNER_KEY to the server's key, or give --key");
        if (!URL.canParse(server)) throw usageError(`${server} is not an address`);
        writeProfiles({ ...readProfiles(), [name]: { server, key } });
        return print(tools, { name, server }, () => `${name} is stored in ${profilesPath()}`);
      }),
    );
}

function removeCommand() {
  return command("rm", "Forget a profile")
    .argument("<name>", "what it is called")
    .action((name, { json }) =>
      act(json, (tools) => {
        findProfile(name);
        const { [name]: _, ...others } = readProfiles();
        writeProfiles(others);
        return print(tools, { name, deleted: true }, () => `${name} is forgotten`);
      }),
    );
}
