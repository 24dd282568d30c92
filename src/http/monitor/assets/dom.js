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

/**
 * Shows something else in a place, only where it differs. What has the focus there keeps it, as far as
 * there still is such a thing.
 */
export function fill(id, ...content) {
  const place = byId(id);
  place.classList.remove("stale");
  const next = el("div", null, ...content);
  if (place.innerHTML === next.innerHTML) return;
  keepFocus(place, () => place.replaceChildren(...next.childNodes));
}

const FOCUSABLE = "a[href], button, input, select, textarea";
const nameOf = (node) => node.getAttribute("aria-label") ?? node.dataset.focus ?? node.textContent;

/** Changes what is in a place. The focus goes to what has the same name, or else stands where it stood. */
export function keepFocus(place, change) {
  const focused = document.activeElement;
  if (!place.contains(focused) || focused === place) return change();
  const before = [...place.querySelectorAll(FOCUSABLE)];
  change();
  if (place.contains(focused)) return focused.focus();
  const after = [...place.querySelectorAll(FOCUSABLE)];
  const same = after.find((node) => nameOf(node) === nameOf(focused));
  (same ?? after[Math.min(before.indexOf(focused), after.length - 1)])?.focus();
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

/** Runs what a button does once at a time, and says what went wrong. It keeps the focus meanwhile. */
export function action(name, run, properties = {}) {
  const button = el("button", { type: "button", class: "small", ...properties }, name);
  let isRunning = false;
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    if (isRunning) return;
    isRunning = true;
    button.setAttribute("aria-disabled", "true");
    try {
      await run();
    } catch (error) {
      toast(error.message);
    } finally {
      isRunning = false;
      button.removeAttribute("aria-disabled");
    }
  });
  return button;
}

const SURE_MS = 5000;

/** An action that needs a confirmation: the button says what a second press will do. */
export function sureAction(name, sure, run, properties = {}) {
  let timer;
  const label = properties["aria-label"];
  const button = action(
    name,
    async () => {
      if (timer === undefined) {
        setText(button, sure);
        if (label) button.setAttribute("aria-label", `${sure} ${label}`);
        timer = setTimeout(forget, SURE_MS);
        return;
      }
      forget();
      await run();
    },
    properties,
  );
  function forget() {
    clearTimeout(timer);
    timer = undefined;
    setText(button, name);
    if (label) button.setAttribute("aria-label", label);
  }
  return button;
}
