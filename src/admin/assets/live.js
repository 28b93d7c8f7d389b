// The API, and the stream of figures. A stream that breaks is begun again.

const KEY = "larder-token";
let token = "";
try {
  token = sessionStorage.getItem(KEY) ?? "";
} catch {
  // storage may be forbidden: the token is kept by the page alone
}

export const hasToken = () => token !== "";

export function setToken(value) {
  token = value.trim();
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // as above
  }
}

export class Refused extends Error {}

function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.authorization = "Bearer " + token;
  return fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) throw new Refused(body.error);
  if (!response.ok || body.error) throw new Error(body.error ?? "status " + response.status);
  return body;
}

export async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return answer(await ask(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

// Hands each message to `show`, for as long as the page is there. Ends where the
// token is refused.
export async function follow(show, broken, signal) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      const response = await ask("events", { signal });
      if (response.status === 401 || response.status === 403) {
        throw new Refused((await response.json().catch(() => ({}))).error);
      }
      if (!response.ok) throw new Error("status " + response.status);
      await read(response.body, (message) => {
        pause = 500;
        show(message);
      });
      throw new Error("the stream has ended");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) throw error;
      broken(error);
    }
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 5000);
  }
}

async function read(body, show) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.startsWith("data: ") ? JSON.parse(event.slice(6)) : null;
      if (data) show(data);
    }
  }
}
