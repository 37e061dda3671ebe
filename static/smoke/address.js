// Where things are: the server's base path, the options in the page's own address, the endpoints.

export const BASE = basePath();

/** Where the server's paths begin: the directory of the page's script, else the page's own path. No slash at the end. */
function basePath() {
  const script = new URL("..", import.meta.url).pathname.replace(/\/+$/, "");
  if (script !== "") {
    return script;
  }
  const segments = location.pathname.replace(/\/+$/, "").split("/");
  if (segments.at(-1).includes(".")) {
    segments.pop();
  }
  return segments.join("/");
}

/** An option of the page: from the fragment, which stays in the browser, else from the query. */
export function option(name) {
  return new URLSearchParams(location.hash.slice(1)).get(name) ?? new URLSearchParams(location.search).get(name);
}

/** An address, absolute or relative to the page, with the scheme family (`http` or `ws`) asked for. */
export function address(path, family) {
  const url = new URL(path, location.href);
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  url.protocol = `${family}${secure ? "s" : ""}:`;
  return url;
}
