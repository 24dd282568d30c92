// What of the last release's OpenAPI document a client may rely on and the present one breaks:
// breaking.mjs present.json released.json. It proves first that it would notice.
import { existsSync, readFileSync } from "node:fs";

import { apiDiff } from "api-smart-diff";

const [presentPath, releasedPath] = process.argv.slice(2);
const present = JSON.parse(readFileSync(presentPath, "utf8"));

function breaks(before, after) {
  return apiDiff(structuredClone(before), structuredClone(after))
    .filter(({ type }) => type === "breaking")
    .map(({ action, path }) => `${action} ${path.join(" / ")}`);
}

const spoiled = structuredClone(present);
delete spoiled.paths["/api/v1/tasks"].get;
if (breaks(present, spoiled).length === 0) throw new Error("the check notices nothing");
if (breaks(present, present).length > 0) throw new Error("the check complains of nothing");

if (!existsSync(releasedPath)) {
  console.log("breaking: nothing was released yet; a release stores its document as released.json");
} else {
  const found = breaks(JSON.parse(readFileSync(releasedPath, "utf8")), present);
  for (const line of found) console.error(line);
  process.exit(found.length > 0 ? 1 : 0);
}
