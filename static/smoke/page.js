// The rows, the verdict and the facts: everything that touches the document.

import { describe } from "./exchange.js";
import { bad } from "./results.js";
import { serviceNames } from "./session.js";

export const element = (id) => document.getElementById(id);
const rows = () => [...document.querySelectorAll(".check")];

/** Show a result in its row; the class on the value is what scripts look at. */
export function show(id, { state, value, detail }) {
  const target = element(id);
  target.textContent = value;
  target.classList.remove("ok", "bad", "off", "warn");
  if (["ok", "bad", "off", "warn"].includes(state)) {
    target.classList.add(state);
  }
  target.closest(".check").dataset.state = state;
  element(`${id}-detail`).textContent = detail;
  showLamps();
}

/** Show what a check comes to, whatever happens inside it. Gives the result. */
export async function run(id, check) {
  let result;
  try {
    result = await check();
  } catch (error) {
    result = bad(describe(error));
  }
  show(id, result);
  return result;
}

/** One lamp for each row, in the order of the rows. */
function showLamps() {
  const lamps = element("lamps");
  for (const [index, row] of rows().entries()) {
    const lamp = lamps.children[index] ?? lamps.appendChild(document.createElement("span"));
    lamp.dataset.state = row.dataset.state;
  }
}

export function showRunning() {
  for (const row of rows()) {
    row.dataset.state = "running";
    const value = row.querySelector(".value");
    value.textContent = "…";
    value.classList.remove("ok", "bad", "off", "warn");
    row.querySelector(".detail").textContent = "";
  }
  showLamps();
  showVerdict("running", "Checking…");
  element("tally").textContent = "";
  element("failures").textContent = "";
  element("again").setAttribute("aria-disabled", "true");
}

function showVerdict(state, text) {
  const all = element("all");
  all.textContent = text;
  all.classList.toggle("ok", state === "passed");
  all.classList.toggle("bad", state === "failed");
  all.dataset.state = state;
}

/** Sum up the rows. */
export function showSummary() {
  const inState = (state) => rows().filter((row) => row.dataset.state === state);
  const failures = inState("bad").map((row) => row.querySelector("dt").firstChild.textContent.trim());
  const [passed, failed, off] = [inState("ok").length, failures.length, inState("off").length];
  const limited = inState("warn").length;
  const parts = [`${passed} passed`];
  if (failed > 0) {
    parts.push(`${failed} failed`);
  }
  if (limited > 0) {
    parts.push(`${limited} limited`);
  }
  if (off > 0) {
    parts.push(`${off} not enabled`);
  }
  element("tally").textContent = parts.join(", ");
  element("failures").textContent = failures.join(" · ");
  element("again").removeAttribute("aria-disabled");
  if (failed > 0) {
    showVerdict("failed", failed === 1 ? "1 check failed" : `${failed} checks failed`);
  } else {
    showVerdict("passed", limited > 0 ? "Checks passed, with limits" : "All checks passed");
  }
}

/** Replace the children of a fact: text, nodes, or a dash when the server did not say. */
export function showFact(id, ...content) {
  element(id).replaceChildren(...(content.length > 0 ? content : ["–"]));
}

export function showFacts(session) {
  const expires = new Date(session?.session?.expiresAt ?? NaN);
  if (Number.isNaN(expires.getTime())) {
    showFact("expires");
  } else {
    const time = document.createElement("time");
    time.dateTime = expires.toISOString();
    time.textContent = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(expires);
    showFact("expires", time);
  }
  const services = serviceNames(session);
  showFact("services", ...(services?.length ? [services.join(", ")] : []));
  const tcp = session?.limits?.tcp;
  showFact("limits-tcp", ...facts([
    [tcp?.maxConnections, (n) => `${n} connections`],
    [tcp?.maxMessageBytes, (n) => `${bytes(n)} messages`],
    [tcp?.idleTimeoutMs, (n) => `${duration(n)} idle`],
  ]));
  showFact("limits-dns", ...facts([[session?.limits?.dns?.maxQueryBytes, (n) => `${bytes(n)} queries`]]));
}

/** The numbers that are there, in words, as one list. */
function facts(pairs) {
  const known = pairs.filter(([value]) => Number.isFinite(value)).map(([value, words]) => words(value));
  return known.length > 0 ? [known.join(", ")] : [];
}

function bytes(count) {
  if (count >= 1 << 20) {
    return `${+(count / (1 << 20)).toFixed(1)} MiB`;
  }
  return count >= 1024 ? `${+(count / 1024).toFixed(1)} KiB` : `${count} B`;
}

function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  return seconds >= 60 ? `${+(seconds / 60).toFixed(1)} min` : `${+seconds.toFixed(1)} s`;
}
