// The changes between the last release's OpenAPI document and the current one that break a client:
// breaking.mjs present.json released.json. It proves first that it would notice, and what it lets pass.
import { readFileSync } from "node:fs";

import { apiDiff } from "api-smart-diff";

const [presentPath, releasedPath] = process.argv.slice(2);
const [present, released] = [presentPath, releasedPath].map((path) =>
  JSON.parse(readFileSync(path, "utf8")),
);

function breaks(before, after) {
  return apiDiff(structuredClone(before), structuredClone(after))
    .filter(isBreaking)
    .map(({ action, path }) => `${action} ${path.join(" / ")}`);
}

/**
 * A schema is judged where it is used, in a request or an answer; by itself it is only a name, which
 * generated clients have. Besides what the tool calls breaking: another type, in an answer, too; a field that
 * is taken away, of a body (unknown ones are refused) or an answer; and an operation's id, the name of a method.
 */
function isBreaking({ type, action, path }) {
  if (path[0] !== "paths") return action === "remove" && path.length === 3;
  if (action !== "add" && ["operationId", "type"].includes(path.at(-1))) return true;
  if (action === "remove" && path.at(-2) === "properties") return true;
  return type === "breaking";
}

const tasks = "/api/v1/tasks";
const BREAKING = {
  "an operation is gone": ({ paths }) => delete paths[tasks].get,
  "an operation has another name": ({ paths }) => (paths[tasks].get.operationId = "getTasks"),
  "a parameter is gone": ({ paths }) => paths[tasks].get.parameters.pop(),
  "a parameter must be given": ({ paths }) =>
    paths[tasks].get.parameters.push({
      in: "query",
      name: "new",
      required: true,
      schema: { type: "string" },
    }),
  "an answer is gone": ({ paths }) => delete paths[tasks].post.responses["201"],
  "a field of a body is gone": (_, { TaskCreation }) => delete TaskCreation.properties.prompt,
  "a field of a body must be given": (_, { TaskCreation }) => (TaskCreation.required = ["prompt"]),
  "a field of an answer is gone": (_, { Task }) => {
    delete Task.properties.status;
    Task.required = Task.required.filter((name) => name !== "status");
  },
  "a field of an answer has another type": (_, { Task }) =>
    (Task.properties.id = { type: "integer" }),
  "a schema has another name": (_, schemas) => {
    schemas.Other = schemas.Pagination;
    delete schemas.Pagination;
  },
};
const HARMLESS = {
  "nothing is other": () => {},
  "an operation is new": ({ paths }) => (paths["/api/v1/new"] = { get: paths[tasks].get }),
  "a field of a body is new": (_, { TaskCreation }) =>
    (TaskCreation.properties.new = { type: "string" }),
  "a field of an answer is new": (_, { Task }) => {
    Task.properties.new = { type: "string" };
    Task.required.push("new");
  },
  "a description is other": (_, { Task }) => (Task.description = "New words"),
};
for (const [cases, isExpected] of [
  [BREAKING, true],
  [HARMLESS, false],
])
  for (const [name, change] of Object.entries(cases)) {
    const changed = structuredClone(released);
    change(changed, changed.components.schemas);
    if (breaks(released, changed).length > 0 !== isExpected)
      throw new Error(`the check ${isExpected ? "does not notice" : "complains"} that ${name}`);
  }

const found = breaks(released, present);
for (const line of found) console.error(line);
if (present.info.version !== released.info.version) {
  console.error(
    `The version is ${present.info.version}, and the stored document that of ${released.info.version}: ` +
      "run .ci/release-document, and name in CHANGELOG.md what it says",
  );
  process.exit(1);
}
if (found.length > 0) {
  console.error(`breaking: clients of ${released.info.version} relied on these`);
  process.exit(1);
}
console.log(
  `breaking: clients of ${released.info.version} lose none of ${operations(released)} operations`,
);

function operations({ paths }) {
  return Object.values(paths).flatMap((methods) => Object.keys(methods)).length;
}
