// New task, and upload and run.

import { call, post } from "./api.js";
import { byId, el, toast } from "./dom.js";
import { bytes } from "./format.js";

const dialog = () => byId("form");

function open(title, fields, submitName, submit) {
  const error = el("p", { class: "error", role: "alert" });
  const sending = el("button", { class: "primary" }, submitName);
  const cancel = el("button", { type: "button" }, "Cancel");
  cancel.addEventListener("click", () => dialog().close());
  const form = el(
    "form",
    { method: "dialog" },
    el("header", null, el("h2", { id: "form-title" }, title)),
    ...fields,
    error,
    el("footer", null, cancel, sending),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sending.disabled = true;
    error.textContent = "";
    try {
      await submit((text) => (error.textContent = text));
      dialog().close();
    } catch (problem) {
      error.textContent = describe(problem);
    } finally {
      sending.disabled = false;
    }
  });
  dialog().replaceChildren(form);
  dialog().showModal();
}

function describe(problem) {
  const rows = problem.details?.rows
    ?.slice(0, 5)
    .map((r) => `row ${r.row}, ${r.field}: ${r.message}`);
  return rows?.length > 1 ? `${problem.message}. ${rows.join("; ")}` : problem.message;
}

function field(id, label, control) {
  control.id = id;
  return [el("label", { for: id }, label), control];
}

export function newTask(defaultModel, done) {
  const prompt = el("textarea", { required: true, rows: "5" });
  const model = el("input", { placeholder: defaultModel, spellcheck: "false" });
  const priority = el(
    "select",
    null,
    ["normal", "urgent", "high", "low"].map((name) => el("option", null, name)),
  );
  open(
    "New task",
    [
      ...field("task-prompt", "Prompt", prompt),
      el(
        "div",
        { class: "two" },
        el("div", null, ...field("task-model", "Model", model)),
        el("div", null, ...field("task-priority", "Priority", priority)),
      ),
    ],
    "Run",
    async () => {
      const task = await post("/tasks?execute=true", {
        prompt: prompt.value,
        priority: priority.value,
        ...(model.value.trim() ? { model: model.value.trim() } : {}),
      });
      done();
      location.hash = `#/task/${encodeURIComponent(task.id)}`;
    },
  );
}

export function newBatch(defaultModel, done) {
  const file = el("input", {
    type: "file",
    required: true,
    accept: ".csv,.tsv,.xlsx,.parquet,.jsonl,.json",
  });
  const columns = el(
    "p",
    { class: "hint" },
    "One row is one task. A `prompt` column is sent as it stands.",
  );
  const template = el("textarea", {
    rows: "4",
    placeholder: "Describe {{city}} in one sentence of {{language}}.",
  });
  const model = el("input", { placeholder: defaultModel, spellcheck: "false" });
  const most = el("input", {
    type: "number",
    min: "1",
    max: "10000",
    placeholder: "as many as there are",
  });
  const isDryRun = el("input", { type: "checkbox", id: "batch-dry" });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    const [head = ""] = (await chosen.slice(0, 4096).text()).split(/\r?\n/);
    columns.textContent = /\.jsonl$/i.test(chosen.name)
      ? `${bytes(chosen.size)}, one task a line`
      : `${bytes(chosen.size)}, columns: ${head.slice(0, 300)}`;
  });
  open(
    "Upload and run",
    [
      ...field("batch-file", "CSV or JSONL file", file),
      columns,
      ...field("batch-template", "Prompt template (optional; columns in double braces)", template),
      el(
        "div",
        { class: "two" },
        el("div", null, ...field("batch-model", "Model", model)),
        el("div", null, ...field("batch-most", "Calls at once", most)),
      ),
      el(
        "label",
        { class: "check", for: "batch-dry" },
        isDryRun,
        "Dry run: the simulator answers, at no cost",
      ),
    ],
    "Upload and run",
    async (tell) => {
      const [chosen] = file.files;
      tell("Uploading…");
      const body = new FormData();
      body.append("file", chosen, chosen.name);
      const { id } = await call("POST", "/files", body);
      tell("Checking every row…");
      const batch = await post("/batches", {
        name: chosen.name,
        inputFile: id,
        config: {
          ...(template.value.trim() ? { promptTemplate: template.value } : {}),
          ...(model.value.trim() ? { model: model.value.trim() } : {}),
          ...(most.value ? { maxConcurrency: Number(most.value) } : {}),
        },
      });
      await post(`/batches/${batch.id}/execute`, { isDryRun: isDryRun.checked });
      toast(`${chosen.name}: ${batch.taskCount} tasks started`);
      done();
    },
  );
}
