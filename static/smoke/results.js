// What a check comes to: the state of its row, the value shown there, and a sentence about it.

export const ok = (detail = "", value = "ok") => ({ state: "ok", value, detail });
export const bad = (detail = "", value = "failed") => ({ state: "bad", value, detail });
export const warn = (detail = "", value = "limited") => ({ state: "warn", value, detail });
export const info = (value) => ({ state: "info", value, detail: "" });
export const notEnabled = () => ({ state: "off", value: "not enabled", detail: "" });
export const noSession = () => bad("", "skipped (no session)");

export const since = (start) => `${Math.max(1, Math.round(performance.now() - start))} ms`;
