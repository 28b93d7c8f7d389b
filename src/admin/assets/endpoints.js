// The table of endpoints: sorted by any column, searched by name, and changed in
// place, so that neither focus nor scroll is lost.

import { id, make, text } from "./dom.js";
import { DASH, duration, number, percent } from "./format.js";
import { NAMES, OUTCOMES, hitRatio, requests } from "./history.js";

const COLUMNS = [
  { name: "Endpoint", key: "name", class: "left", show: (row) => row.name || "(no policy)" },
  { name: "Share", key: "share", class: "hide-small", show: (row) => percent(row.share) },
  { name: "Req/s", key: "rate", show: (row) => (row.rate == null ? DASH : number(row.rate)) },
  { name: "Hit ratio", key: "ratio", show: (row) => percent(row.ratio) },
  { name: "Outcomes", key: "all", class: "left hide-small" },
  { name: "Hit p99", key: "hit99", class: "hide-small", show: (row) => (row.hit99 ? duration(row.hit99) : DASH) },
  { name: "Miss p99", key: "miss99", show: (row) => (row.miss99 ? duration(row.miss99) : DASH) },
  { name: "Runs saved", key: "saved", class: "hide-small hide-medium", show: (row) => number(row.saved) },
  { name: "Time saved", key: "time", class: "hide-small", show: (row) => duration(row.time) },
  { name: "", key: null, class: "hide-small" },
];

export class Endpoints {
  sort = { key: "all", down: true };
  rows = [];
  elements = new Map();

  constructor(invalidate) {
    this.invalidate = invalidate;
    this.body = id("endpoints").tBodies[0];
    const head = id("endpoints").tHead.rows[0];
    for (const column of COLUMNS) {
      const cell = make("th", { class: column.class ?? "", scope: "col" });
      if (column.key) {
        cell.dataset.key = column.key;
        cell.append(make("button", { type: "button", onclick: () => this.by(column.key) }, column.name));
      } else {
        cell.append(make("span", { class: "sr" }, "Actions"));
      }
      head.append(cell);
    }
    id("search").addEventListener("input", () => this.paint(true));
    this.mark();
  }

  by(key) {
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : key !== "name" };
    this.mark();
    this.paint(true);
  }

  mark() {
    for (const cell of id("endpoints").tHead.rows[0].cells) {
      if (cell.dataset.key === this.sort.key) cell.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  show(message, history) {
    const at = (name) => message.columns.indexOf(name);
    const rows = message.endpoints.map(([name, n]) => {
      const counts = OUTCOMES.map((outcome) => n[at(outcome)]);
      return {
        name, kind: message.namespaces.includes(name) ? "namespace" : "endpoint", counts, all: requests(counts), ratio: hitRatio(counts), rate: history.rate(name),
        hit99: n[at("hit_p99")], miss99: n[at("miss_p99")], saved: n[at("calls_saved")], time: n[at("time_saved")],
      };
    });
    const sum = rows.reduce((sum, row) => sum + row.all, 0);
    for (const row of rows) row.share = sum ? row.all / sum : 0;
    this.rows = rows;
    this.paint(false);
  }

  paint(asked) {
    const wanted = id("search").value.trim().toLowerCase();
    const found = this.rows.filter((row) => row.name.toLowerCase().includes(wanted));
    const { key, down } = this.sort;
    const worth = (row) => row[key] ?? -1;
    found.sort((a, b) => {
      const order = key === "name" ? a.name.localeCompare(b.name) : worth(a) - worth(b) || b.name.localeCompare(a.name);
      return down ? -order : order;
    });
    const elements = found.map((row) => this.element(row));
    // who is in the table keeps their place
    const busy = !asked && (this.body.contains(document.activeElement) || this.body.matches(":hover"));
    const now = [...this.body.children];
    const same = now.length === elements.length && elements.every((element, at) => now[at] === element);
    if (!same && !(busy && now.length === elements.length)) this.body.replaceChildren(...elements);
    const count = found.length === this.rows.length ? this.rows.length : found.length + " of " + this.rows.length;
    text(id("endpoint-count"), count);
    id("endpoints-empty").hidden = found.length > 0;
    text(id("endpoints-empty"), this.rows.length ? "No endpoint has this in its name." : "No request has come yet.");
  }

  element(row) {
    let element = this.elements.get(row.name);
    if (!element) {
      element = make("tr", {}, ...COLUMNS.map((column) => make("td", { class: column.class ?? "" })));
      element.cells[0].title = row.name;
      element.cells[4].append(make("div", { class: "mix", role: "img" }, ...OUTCOMES.map((outcome) => make("i", { class: outcome }))));
      if (row.name) {
        const label = `Invalidate the ${row.kind} ${row.name}`;
        const button = make("button", { type: "button", "aria-label": label, onclick: () => this.invalidate(row.kind, row.name) }, "Invalidate");
        element.cells[COLUMNS.length - 1].append(button);
      }
      this.elements.set(row.name, element);
    }
    COLUMNS.forEach((column, at) => column.show && text(element.cells[at], column.show(row)));
    const mix = element.cells[4].firstElementChild;
    OUTCOMES.forEach((_, at) => (mix.children[at].style.width = (row.all ? (100 * row.counts[at]) / row.all : 0) + "%"));
    mix.setAttribute("aria-label", OUTCOMES.map((name, at) => `${NAMES[name]} ${number(row.counts[at])}`).join(", "));
    return element;
  }
}
