// What changes something: each in a dialog, and nothing goes before it was counted.

import { id, make, text } from "./dom.js";
import { duration, plural } from "./format.js";
import { Refused, post } from "./live.js";

export function actions(refused) {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  }
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => id(button.dataset.open).showModal());
  }
  // Does it, and says what became of it.
  const run = async (name, work) => {
    const result = id(name);
    result.classList.remove("bad");
    text(result, "…");
    try {
      return await work(result);
    } catch (error) {
      if (error instanceof Refused) return refused(error);
      result.classList.add("bad");
      text(result, error.message);
    }
  };
  const form = (name, work) => id(name).querySelector("form").addEventListener("submit", work);
  warm(form, run);
  explain(form, run);
  switching(form, run);
  return invalidate(form, run);
}

function invalidate(form, run) {
  const asked = () => {
    const kind = id("inv-kind").value;
    const value = kind === "everything" ? true : id("inv-value").value.trim();
    return { [kind]: value, soft: id("inv-soft").checked };
  };
  const uncounted = () => {
    id("inv-go").disabled = true;
    text(id("inv-go"), "Invalidate");
    text(id("inv-result"), "");
    id("inv-value").disabled = id("inv-kind").value === "everything";
  };
  for (const name of ["inv-kind", "inv-value", "inv-soft"]) id(name).addEventListener("input", uncounted);
  form("invalidate", () => run("inv-result", async (result) => {
    const { removed } = await post("invalidate", { ...asked(), dry_run: true });
    const would = asked().soft ? "would become stale" : "would go";
    text(result, `${plural(removed, "entry", "entries")} ${would}.`);
    text(id("inv-go"), `Invalidate ${plural(removed, "entry", "entries")}`);
    id("inv-go").disabled = false;
    id("inv-go").focus();
  }));
  id("inv-go").addEventListener("click", () => run("inv-result", async (result) => {
    const wanted = asked();
    id("inv-go").disabled = true;
    const done = await post("invalidate", wanted);
    const others = done.confirmed ? `, ${plural(done.confirmed, "other process", "other processes")} confirmed` : "";
    text(result, `Done: ${plural(done.removed, "entry", "entries")}${others}.`);
    text(id("inv-go"), "Invalidate");
  }));
  return (kind, value) => {
    id("inv-kind").value = kind;
    id("inv-value").value = value;
    id("inv-soft").checked = false;
    uncounted();
    id("invalidate").showModal();
    id("inv-count").focus();
  };
}

function warm(form, run) {
  form("warm", () => run("warm-result", async (result) => {
    const targets = id("warm-targets").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const host = id("warm-host").value.trim();
    const done = await post("warm", host ? { targets, host } : { targets });
    const why = done.failed[0] ? ` Line ${done.failed[0].at}: ${done.failed[0].why}` : "";
    text(result, `${done.filled} filled, ${done.fresh} fresh already, ${done.failed.length} failed in ${duration(done.took)}.${why}`);
  }));
}

function explain(form, run) {
  form("explain", () => run("explain-result", async (result) => {
    const told = await post("explain", { url: id("explain-url").value.trim() });
    const steps = told.steps.map(({ about, found }) => make("li", {}, make("b", {}, about), " ", found));
    const key = told.key ? make("p", {}, make("code", {}, told.key)) : null;
    result.replaceChildren(make("p", {}, "It would be a ", make("b", {}, told.would), "."), ...(key ? [key] : []), make("ol", {}, ...steps));
  }));
}

function switching(form, run) {
  id("switch-button").addEventListener("click", () => {
    const on = id("switch-button").textContent === "Switch on";
    text(id("switch-title"), on ? "Switch the cache on" : "Switch the cache off");
    text(id("switch-text"), on ? "Requests are served from the cache again." : "Every request goes to its handler. Invalidations are performed all the same.");
    text(id("switch-go"), on ? "Switch on" : "Switch off");
    text(id("switch-result"), "");
  });
  form("switch", () => run("switch-result", async (result) => {
    const enabled = id("switch-go").textContent === "Switch on";
    await post("enabled", { enabled, everywhere: id("switch-everywhere").checked });
    text(result, enabled ? "It is on." : "It is off.");
    id("switch").close();
  }));
}
