// The smoke page: every check runs in this browser against this server and writes one value into its row.
// A row's value is the text of the element with the check's id; what is to say about it is in "<id>-detail".

import { BASE } from "./smoke/address.js";
import { checkIsolation, checkSharedMemory, checkWebAssembly, checkWorkers, quickChecks } from "./smoke/browser.js";
import { checkDNSJSON, checkDNSQuery } from "./smoke/dns.js";
import { request } from "./smoke/exchange.js";
import { checkL2 } from "./smoke/l2.js";
import { element, run, show, showFact, showFacts, showRunning, showSummary } from "./smoke/page.js";
import { checkRelay } from "./smoke/relay.js";
import { info, noSession, notEnabled } from "./smoke/results.js";
import { checkHealth, checkL2Limits, checkSession, serviceNames } from "./smoke/session.js";
import { checkTCP, checkTCPMux } from "./smoke/tcp.js";

async function showVersion() {
  try {
    const response = await request(`${BASE}/version`);
    const about = await response.json();
    const commit = String(about.gitSha ?? about.commit ?? "");
    const known = /^[0-9a-f]{7,64}$/i.test(commit) ? ` (${commit.slice(0, 9)})` : "";
    showFact("version", `${about.version ?? "unnamed"}${known}`);
  } catch {
    showFact("version");
  }
}

async function checkBrowser() {
  await run("coi", checkIsolation);
  await run("sab", checkSharedMemory);
  show("origin", info(location.origin));
  element("checks").textContent = quickChecks();
  await Promise.all([run("wasm", checkWebAssembly), run("worker", checkWorkers)]);
}

async function checkServices() {
  await run("health", checkHealth);
  const { session = null } = await run("session", checkSession);
  showFacts(session);
  show("session-l2-limits", checkL2Limits(session));

  const services = serviceNames(session);
  const runs = (service) => services === null || services.includes(service);
  const gateway = (id, check) => {
    if (session === null) {
      return show(id, noSession());
    }
    return runs("gateway") ? run(id, () => check(session)) : show(id, notEnabled());
  };
  const relay = () => {
    const enabled = services === null ? session?.udpRelay !== undefined : services.includes("relay");
    if (session !== null && enabled) {
      return checkRelay(session);
    }
    for (const id of ["ice", "signal", "udp", "datachannel"]) {
      show(id, session === null ? noSession() : notEnabled());
    }
  };
  await Promise.all([
    gateway("ws", checkTCP),
    gateway("tcp-mux", checkTCPMux),
    gateway("dns", checkDNSJSON),
    gateway("dns-query", checkDNSQuery),
    runs("l2") ? run("ws-l2", () => checkL2(session)) : show("ws-l2", notEnabled()),
    relay(),
  ]);
}

let running = false;
let wanted = false;

/** Run every check; a call during a run asks for one more after it. */
async function checkAll() {
  wanted = true;
  if (running) {
    return;
  }
  running = true;
  while (wanted) {
    wanted = false;
    showRunning();
    await Promise.all([checkBrowser(), checkServices(), showVersion()]);
    showSummary();
  }
  running = false;
}

element("link-version").href = `${BASE}/version`;
element("link-health").href = `${BASE}/healthz`;
element("link-ready").href = `${BASE}/readyz`;
element("again").addEventListener("click", () => running || checkAll());
window.addEventListener("hashchange", checkAll);
checkAll();
