// Health, the session and what it says.

import { BASE } from "./address.js";
import { request, unexpected } from "./exchange.js";
import { bad, info, ok, since } from "./results.js";

/** The roles the process runs, or null when the server does not tell. */
export function serviceNames(session) {
  return Array.isArray(session?.services) ? session.services.map(String) : null;
}

export async function checkHealth() {
  const start = performance.now();
  const response = await request(`${BASE}/healthz`);
  const text = await response.text();
  let healthy;
  try {
    healthy = JSON.parse(text)?.ok === true;
  } catch {
    healthy = text.trim() === "ok";
  }
  return response.ok && healthy ? ok(since(start)) : bad("", `unexpected (${response.status})`);
}

/** The result, with the session itself beside it when there is one. */
export async function checkSession() {
  const start = performance.now();
  const response = await request(`${BASE}/session`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  if (!response.ok) {
    return unexpected(response);
  }
  const session = await response.json().catch(() => null);
  if (typeof session?.session?.expiresAt !== "string") {
    return bad("the answer has no session.expiresAt", `unexpected (${response.status})`);
  }
  return { ...ok(since(start)), session };
}

export function checkL2Limits(session) {
  const limits = session?.limits?.l2;
  const [frame, control] = [limits?.maxFramePayloadBytes, limits?.maxControlPayloadBytes];
  if (typeof frame === "number" && typeof control === "number") {
    return ok("", `frame=${frame} control=${control}`);
  }
  return session === null ? info("n/a") : bad("the session names no limits for /l2", "missing");
}
