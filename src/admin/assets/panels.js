// Tiles, the shared store, and the lists.

import { fill, id, make, text } from "./dom.js";
import { DASH, bytes, clock, duration, number, percent, plural } from "./format.js";
import { hitRatio, requests } from "./history.js";

export function tiles(message, history) {
  const { total, health, lately } = message;
  // a page behind a balancer shows the process that it came to
  const all = lately?.shared ? "the hit ratio of an hour and a day, and top keys, are of all instances" : "nothing is counted together now";
  const others = health.instances.length > 1 ? `Figures are of this process, one of ${health.instances.length}; ${all}.` : "Figures are of this process.";
  text(id("whose"), others);
  const minute = history.since(60);
  const ratio = hitRatio(minute.counts);
  text(id("ratio"), percent(ratio ?? hitRatio(history.samples.at(-1).counts)));
  text(id("ratio-sub"), ratio == null ? "since the start" : "of the last " + (minute.took > 58 ? "minute" : duration(Math.round(minute.took))));
  const recent = history.since(5);
  text(id("rps"), recent.took > 0 ? number(requests(recent.counts) / recent.took) + " /s" : DASH);
  text(id("rps-sub"), number(requests(history.samples.at(-1).counts)) + " since the start");
  text(id("saved"), number(total.calls_saved));
  text(id("saved-sub"), plural(total.stores, "answer") + " stored");
  text(id("time"), duration(total.time_saved));
  const { hit, miss, fill: fills } = total.latency;
  text(id("p99"), (hit.count ? duration(hit.p99) : DASH) + " / " + (miss.count ? duration(miss.p99) : DASH));
  text(id("p99-sub"), fills.count ? "handlers: p50 " + duration(fills.p50) : "no handler has run");
  memory(total);
}

function memory(total) {
  const capacity = total.memory_capacity;
  const used = total.memory_bytes + total.in_flight_bytes;
  const share = capacity ? used / capacity : 0;
  text(id("memory"), capacity ? percent(share, 0) : "none");
  text(id("memory-sub"), capacity ? `${bytes(used)} of ${bytes(capacity)}, ${plural(total.memory_entries, "entry", "entries")}` : "no memory tier");
  const meter = id("memory-meter");
  meter.firstElementChild.style.width = Math.min(share * 100, 100) + "%";
  meter.setAttribute("aria-valuenow", Math.round(share * 100));
  meter.classList.toggle("full", share > 0.9);
}

export function status(message) {
  const { health } = message;
  const [word, kind] = !health.enabled ? ["off", "warn"] : health.status === "ok" ? ["ok", "good"] : ["degraded", "bad"];
  text(id("status"), word);
  id("status").className = "pill " + kind;
  text(id("prefix"), message.prefix);
  text(id("switch-button"), health.enabled ? "Switch off" : "Switch on");
  text(id("version"), "larder " + message.version);
  const outage = id("outage");
  outage.hidden = message.down_since == null;
  if (message.down_since != null) {
    const lasts = Math.max(0, (message.at - message.down_since) / 1000);
    text(outage, `Redis does not answer since ${clock(message.down_since)} (${duration(Math.round(lasts))}). What stands greyed below was read before, or is not known.`);
  }
}

export function store(message) {
  const { health: { store, instances, untold }, servers } = message;
  const state = id("store-state");
  if (!store) {
    text(state, "none");
    state.className = "pill small";
    fill(id("store-facts"), [], () => null, () => null);
    instancesOf([], true);
    return;
  }
  const up = store.reachable;
  text(state, !up ? "does not answer" : store.error ? "answers, and is not used" : "answers");
  state.className = "pill small " + (up && !store.error ? "good" : "bad");
  id("store-card").classList.toggle("unknown", !up);
  const sum = (field) => (servers.length ? servers.reduce((sum, server) => sum + (server[field] ?? 0), 0) : null);
  const bound = sum("max_memory");
  const facts = [
    ["Kind", store.topology + (servers[0]?.version ? ", version " + servers[0].version : "") + (servers.length > 1 ? `, ${servers.length} primaries` : "")],
    ["Round trip", up ? duration(store.round_trip) : "not known"],
    ["Breaker", store.breaker === "open" ? "open since " + duration(store.open_for) : "closed"],
    ["Push link", store.listening ? "listening" : "not listening"],
    ["Lease", store.leased ? "held" : "none: memory is not served"],
    ["Memory", servers.length ? bytes(sum("used_memory")) + (bound ? " of " + bytes(bound) : ", no bound") : "not known"],
    ["Eviction", servers[0]?.eviction_policy ? `${servers[0].eviction_policy}, ${plural(sum("evicted_keys"), "key")} so far` : "not known"],
  ];
  if (store.reason) facts.push(["Why", store.reason]);
  if (untold) facts.push(["To be told", plural(untold, "invalidation")]);
  const flat = facts.flatMap(([name, value]) => [["dt", name], ["dd", value]]);
  const list = id("store-facts");
  if (list.children.length !== flat.length) list.replaceChildren(...flat.map(([tag]) => make(tag)));
  flat.forEach(([, value], at) => text(list.children[at], value));
  instancesOf(instances, up);
}

// When an instance's beats were last seen to go on.
const beaten = new Map();

function silence({ id, beats, this: here }) {
  const now = performance.now();
  if (beaten.get(id)?.beats !== beats) beaten.set(id, { beats, at: now });
  const silent = (now - beaten.get(id).at) / 1000;
  return !here && silent > 5 ? silent : null;
}

function instancesOf(instances, known) {
  const rows = known ? instances : instances.filter((instance) => instance.this);
  const create = () => make("li", {}, make("i", { class: "dot" }), make("code"), make("span"));
  fill(id("instances"), rows, create, (element, instance) => {
    const [dot, name, state] = element.children;
    const silent = known ? silence(instance) : null;
    dot.className = "dot" + (!known || silent ? " silent" : instance.in_step ? "" : " late");
    text(name, instance.id.slice(0, 8) + (instance.this ? " (this one)" : ""));
    const behind = instance.behind ? `behind by ${instance.behind}` : "behind";
    text(state, !known ? "others are not known" : silent ? `silent for ${duration(Math.round(silent))}` : instance.in_step ? "in step" : behind);
  });
}

export function advice(message) {
  const all = message.lately?.advice ?? [];
  text(id("advice-count"), all.length || "");
  const shown = all.length ? all : [{ level: "good", what: "Nothing to advise", todo: "" }];
  const create = () => make("li", {}, make("span", { class: "level pill" }), make("b"), make("div", { class: "what" }));
  fill(id("advice"), shown, create, (element, { level, subject, what, todo }) => {
    const [pill, title, rest] = element.children;
    pill.className = "level pill " + (level === "good" ? "good" : level === "warning" ? "warn" : "");
    text(pill, level === "good" ? "well" : level);
    text(title, (subject ? subject + ": " : "") + what);
    text(rest, todo);
  });
}

export function invalidations(message) {
  const all = message.invalidations ?? [];
  const create = () => make("li", {}, make("b"), " ", make("code"), make("div", { class: "what" }));
  fill(id("invalidations"), all.length ? all : [null], create, (element, done) => {
    const [kind, name, rest] = element.children;
    text(kind, done ? done.kind : "None yet.");
    text(name, done?.name ?? "");
    const parts = !done ? [] : [clock(done.at), done.soft && "soft", done.times > 1 && done.times + " times", done.removed != null && plural(done.removed, "entry", "entries")];
    text(rest, parts.filter(Boolean).join(", "));
  });
}

// Causes of misses, of bypasses, and why answers were not stored.
export function reasons({ total }) {
  const of = (map, kind, word) => Object.entries(map).map(([reason, n]) => ({ kind, name: `${word}: ${reason}`, n }));
  const all = [...of(total.misses_by, "miss", "miss"), ...of(total.bypasses_by, "bypasses", "bypass"), ...of(total.refusals_by, "stale", "not stored"), ...of(total.faults, "revalidated", "fault")];
  all.sort((a, b) => b.n - a.n);
  bars("reasons", all.slice(0, 12), "No request yet.");
}

export function top({ lately }) {
  const all = (lately?.top ?? []).map(({ name, count }) => ({ kind: "memory", name, n: count }));
  text(id("top-note"), (lately?.shared ? "of all instances" : "of this process") + ", today and yesterday");
  bars("top", all, "None seen yet.");
}

function bars(name, items, none) {
  const most = items[0]?.n ?? 1;
  const create = () => make("li", {}, make("span"), make("div", { class: "track" }, make("i")), make("span", { class: "n" }));
  fill(id(name), items.length ? items : [{ name: none }], create, (element, item) => {
    const [label, track, value] = element.children;
    text(label, item.name);
    label.title = item.name;
    track.hidden = item.n == null;
    track.firstElementChild.className = item.kind ?? "";
    track.firstElementChild.style.width = (100 * (item.n ?? 0)) / most + "%";
    text(value, item.n == null ? "" : number(item.n));
  });
}
