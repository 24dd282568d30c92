// The few lines of DOM that the page needs. Texts are never parsed as HTML.

export const byId = (id) => document.getElementById(id);

/** An element. Properties that start with `on` are listeners, `data-…`, `aria-…` and others attributes. */
export function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets a text only where it differs, so that what stands there can be selected and read aloud in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

export function badge(status) {
  return el("span", { class: `badge ${status}` }, status);
}

export function facts(pairs) {
  return el(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]),
  );
}

export function table(heads, rows) {
  const cell = (tag, value, i) =>
    el(tag, { class: heads[i].class, scope: tag === "th" ? "col" : undefined }, value);
  return el(
    "table",
    null,
    el(
      "thead",
      null,
      el(
        "tr",
        null,
        heads.map(({ name }, i) => cell("th", name, i)),
      ),
    ),
    el(
      "tbody",
      null,
      rows.map((row) =>
        el(
          "tr",
          null,
          row.map((value, i) => cell("td", value ?? "", i)),
        ),
      ),
    ),
  );
}

let toastTimer;
export function toast(text) {
  const node = byId("toast");
  node.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (node.textContent = ""), 6000);
}

/** Runs what a button does once at a time, and says what went wrong. */
export function action(name, run, properties = {}) {
  const button = el("button", { type: "button", class: "small", ...properties }, name);
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      toast(error.message);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}
