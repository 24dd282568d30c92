import { Command } from "@commander-js/extra-typings";

import { LEASES } from "../../store/leases.ts";
import { listNodes } from "../../store/nodes.ts";
import { readRows } from "../../store/rows.ts";
import { withContext } from "../database.ts";
import { EXIT_HELP, report } from "../outcome.ts";

export function nodesCommand() {
  return new Command("nodes")
    .description(
      "List the servers that share the database, when each last proved that it lives, what it runs, and which of them holds which lease.",
    )
    .option("--json", "print it as JSON")
    .addHelpText("after", EXIT_HELP)
    .action(({ json = false }) => report(json, showNodes));
}

async function showNodes() {
  return withContext({ isLocking: false }, async (ctx, { database }) => {
    const found = await readRows(ctx.client, listNodes(ctx.config.leaseMs));
    const leases = await readRows(ctx.client, LEASES);
    const nodes = found.map(({ seq, startedAt, isRunner, silentMs, leaseMs, running }) => ({
      node: seq,
      startedAt: new Date(startedAt).toISOString(),
      runsTasks: isRunner === 1,
      silentMs,
      // For a local file its lock shows that; its server writes no heartbeats, because no other process needs them.
      isLiving: database.path === undefined ? silentMs <= leaseMs : database.isInUse,
      running,
    }));
    return {
      text: [
        ...(nodes.length === 0 ? ["No server has the database open."] : []),
        ...nodes.map(
          ({ node, startedAt, runsTasks, silentMs, isLiving, running }) =>
            `Node ${node}: ${isLiving ? "lives" : "is silent"}, heard of ${silentMs / 1000} s ago, since ${startedAt}, ${runsTasks ? `runs ${running} tasks` : "answers requests"}.`,
        ),
        ...leases.map(
          ({ name, holder, leftMs }) =>
            `Lease ${name}: of ${holder}, ${leftMs > 0 ? `for ${leftMs / 1000} s` : "lapsed"}.`,
        ),
      ].join("\n"),
      json: { nodes, leases },
    };
  });
}
