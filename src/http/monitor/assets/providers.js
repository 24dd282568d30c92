// Who answers, whether calls go there, and what their limits leave.

import { badge, el, fill, table } from "./dom.js";
import { ago, count, duration } from "./format.js";
import { nothing } from "./panels.js";

const num = (name) => ({ name, class: "num" });

export function showProviders({ details }) {
  fill("providers", ...details.providers.flatMap(provider));
}

function provider(one) {
  const name = one.isSimulator ? "Built-in simulator" : one.provider;
  const takes = one.models.join(", ") === "*" ? "" : ` · ${one.models.join(", ")}`;
  return [
    el(
      "p",
      { class: "provider" },
      badge(healthOf(one)),
      " ",
      el("strong", null, name),
      el(
        "span",
        { class: "quiet" },
        `${takes} · answers in ${duration(one.responseTime)}, asked ${ago(one.lastCheck)}`,
      ),
    ),
    ...troubles(one).map((text) => el("p", { class: "error" }, text)),
    one.pacers?.length > 0 ? pacers(one) : nothing(idle(one)),
  ];
}

function healthOf({ lastError, lastStatus, breaker, keysOut }) {
  if (lastError !== null && lastStatus === null) return "unhealthy";
  return lastError !== null || keysOut > 0 || (breaker ?? "closed") !== "closed"
    ? "degraded"
    : "healthy";
}

function troubles({ lastError, breaker, openUntil, keysOut }) {
  return [
    lastError,
    breaker === "open" &&
      `Gets no calls because they failed; asked again ${openUntil ? ago(openUntil) : "now"}.`,
    breaker === "half_open" && "One call finds out whether it is there again.",
    keysOut > 0 && `${keysOut === 1 ? "A key is" : `${keysOut} keys are`} refused or used up.`,
  ].filter(Boolean);
}

const idle = ({ pacers, isSimulator }) => {
  if (!pacers) return "This process makes no calls.";
  return isSimulator ? "The simulator has no limits." : "Not called since the start.";
};

function pacers({ pacers: all, inFlight, maxConcurrency }) {
  const hasKeys = new Set(all.map(({ key }) => key)).size > 1;
  const quiet = (text) => el("div", { class: "quiet" }, text);
  return [
    table(
      [{ name: "Model", class: "wrap" }, num("Requests left"), num("Tokens left")],
      all.map((one) => [
        [
          [one.model, one.tier ?? "", hasKeys ? `(key ${one.key + 1})` : ""].join(" ").trim(),
          quiet(`${count(one.inFlight)} in flight, next call ${nextCall(one)}`),
        ],
        limit(one.requests),
        limit(one.tokens),
      ]),
    ),
    maxConcurrency === null
      ? null
      : quiet(`${inFlight} of at most ${maxConcurrency} calls in flight`),
  ];
}

const HINTS = {
  configured: "as configured",
  told: "told by answers",
  learned: "learned from refusals",
};

function limit({ source, perMinute, remaining }) {
  if (perMinute === null) return el("span", { class: "quiet" }, "no limit known");
  return [
    `${count(remaining)} of ${count(perMinute)}/min`,
    el("div", { class: "quiet" }, HINTS[source]),
  ];
}

function nextCall({ blockedUntil, wait }) {
  if (blockedUntil) return `${ago(blockedUntil)}, as asked`;
  return wait >= 0.05 ? `in ${duration(wait)}` : "now";
}
