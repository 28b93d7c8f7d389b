// The page: signs in, follows the figures, and says how old they are.

import { actions } from "./actions.js";
import { Latency, Ratio, Traffic, repaint } from "./charts.js";
import { id, text } from "./dom.js";
import { Endpoints } from "./endpoints.js";
import { duration } from "./format.js";
import { History } from "./history.js";
import { Refused, follow, hasToken, setToken } from "./live.js";
import * as panels from "./panels.js";

/** Older figures than this, in milliseconds, are greyed. */
const OLD = 3500;

const history = new History();
let view = null;
let last = 0;
let message = null;
let stop = new AbortController();

function show(now) {
  message = now;
  last = performance.now();
  history.push(now);
  if (!view) {
    id("figures").hidden = false;
    id("actions").hidden = false;
    id("sign-in").hidden = true;
    view = { traffic: new Traffic(), ratio: new Ratio(), latency: new Latency(), endpoints };
  }
  panels.status(now);
  panels.tiles(now, history);
  panels.store(now);
  panels.advice(now);
  panels.invalidations(now);
  panels.reasons(now);
  panels.top(now);
  const rates = history.rates();
  view.traffic.show(rates);
  ratioOf(now, rates);
  view.latency.show(now.total.latency);
  endpoints.show(now, history);
  age();
}

// The hit ratio of each second as this page has seen it, or of all instances as
// Redis has it.
let span = "now";

function ratioOf(now, rates) {
  const spans = now.lately?.[span];
  if (!spans) return view.ratio.show(rates);
  const of = ([at, [hits, ...rest]]) => ({ at, counts: [hits, 0, ...rest] });
  view.ratio.show(spans.map(of));
}

function spans() {
  const buttons = [...id("span").children];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      span = button.dataset.span;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      if (message) ratioOf(message, history.rates());
    });
  }
}

function age() {
  if (!message) return;
  const old = performance.now() - last;
  document.body.classList.toggle("old", old > OLD);
  text(id("live"), old > OLD ? `no news: figures are ${duration(Math.round(old / 1000))} old` : "live");
  if (old > OLD) {
    text(id("status"), "no connection");
    id("status").className = "pill bad";
  }
}

async function begin() {
  if (!hasToken() && !("open" in document.documentElement.dataset)) return signIn("");
  stop.abort();
  stop = new AbortController();
  try {
    await follow(show, () => age(), stop.signal);
  } catch (error) {
    signIn(error instanceof Refused && hasToken() ? error.message : "");
  }
}

function signIn(why) {
  stop.abort();
  setToken("");
  message = null;
  id("figures").hidden = true;
  id("actions").hidden = true;
  id("sign-in").hidden = false;
  text(id("status"), "signed out");
  id("status").className = "pill";
  text(id("live"), "");
  text(id("token-error"), why);
  id("token").focus();
}

function theme() {
  const root = document.documentElement;
  const button = id("theme");
  const tell = () => text(button, "Theme: " + (root.dataset.theme ?? "auto"));
  button.addEventListener("click", () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[root.dataset.theme ?? "auto"];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === "auto") localStorage.removeItem("larder-theme");
      else localStorage.setItem("larder-theme", next);
    } catch {
      // storage may be forbidden: it holds for this page
    }
    tell();
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  tell();
}

const invalidate = actions((error) => signIn(error.message));
const endpoints = new Endpoints(invalidate);
id("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(id("token").value);
  id("token").value = "";
  begin();
});
id("leave").addEventListener("click", () => signIn(""));
theme();
spans();
setInterval(age, 1000);
begin();
