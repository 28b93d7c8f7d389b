// The charts, by uPlot. Colours are the page's own and follow its theme.
/* global uPlot */

import { color, id, make, text } from "./dom.js";
import { clock, duration, number, percent } from "./format.js";
import { NAMES, OUTCOMES, hitRatio } from "./history.js";

const charts = [];

function axis(more) {
  return {
    stroke: () => color("muted"), font: "11px system-ui", ticks: { show: false }, gap: 4,
    grid: { stroke: () => color("line"), width: 1 }, ...more,
  };
}

function times(u, ticks) {
  const seconds = u.scales.x.max - u.scales.x.min < 900 ? { second: "2-digit" } : {};
  const form = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...seconds });
  return ticks.map((t) => form.format(t * 1000));
}

const timeAxis = () => axis({ values: times, size: 26, space: 90 });

function chart(element, options, data) {
  const size = () => ({ width: Math.max(element.clientWidth, 60), height: Math.max(element.clientHeight, 60) });
  const plot = new uPlot({
    ...size(), legend: { show: false }, padding: [8, 6, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false }, ...options,
  }, data, element);
  new ResizeObserver(() => plot.setSize(size())).observe(element);
  charts.push(plot);
  return plot;
}

export function repaint() {
  for (const plot of charts) plot.redraw(false);
}

// Outcomes on top of each other, the hits below.
export class Traffic {
  constructor() {
    const shown = OUTCOMES.toReversed();
    this.legend = new Map(OUTCOMES.map((name) => {
      const value = make("b");
      id("traffic-legend").append(make("li", {}, make("i", { class: "swatch " + name }), NAMES[name] + " ", value));
      return [name, value];
    }));
    this.hovered = null;
    const series = shown.map((name) => ({
      stroke: () => color(name === "misses" ? "miss" : name === "bypasses" ? "bypass" : name),
      fill: () => color(name === "misses" ? "miss" : name === "bypasses" ? "bypass" : name),
      width: 0, points: { show: false },
    }));
    this.plot = chart(id("traffic"), {
      scales: { y: { range: (u, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [timeAxis(), axis({ size: 44, values: (u, ticks) => ticks.map(number) })],
      series: [{}, ...series],
      hooks: { setCursor: [(u) => this.hover(u.cursor.idx)] },
    }, [[], ...shown.map(() => [])]);
  }

  show(rates) {
    this.rates = rates;
    const sums = OUTCOMES.map(() => []);
    for (const { counts } of rates) {
      let sum = 0;
      counts.forEach((n, at) => sums[at].push((sum += n)));
    }
    this.plot.setData([rates.map((rate) => rate.at), ...sums.toReversed()]);
    this.tell();
  }

  hover(at) {
    this.hovered = at ?? null;
    this.tell();
  }

  tell() {
    const rate = this.rates?.[this.hovered ?? this.rates.length - 1];
    OUTCOMES.forEach((name, at) => text(this.legend.get(name), rate ? number(rate.counts[at]) : ""));
  }
}

export class Ratio {
  constructor() {
    this.plot = chart(id("ratio-chart"), {
      scales: { y: { range: [0, 1] } },
      axes: [timeAxis(), axis({ size: 44, values: (u, ticks) => ticks.map((t) => percent(t, 0)) })],
      series: [{}, { stroke: () => color("memory"), fill: () => color("memory") + "22", width: 1.5, points: { show: false }, spanGaps: false }],
      hooks: { setCursor: [(u) => this.hover(u.cursor.idx)] },
    }, [[], []]);
  }

  show(points) {
    this.points = points;
    this.plot.setData([points.map((p) => p.at), points.map((p) => hitRatio(p.counts))]);
    this.hover(this.plot.cursor.idx);
  }

  hover(at) {
    const point = this.points?.[at ?? this.points.length - 1];
    text(id("ratio-note"), point ? `${clock(point.at * 1000)}: ${percent(hitRatio(point.counts))}` : "");
  }
}

// Shares of hits and of misses by how long they took, an octave to a bar.
export class Latency {
  constructor() {
    const bars = (align) => uPlot.paths.bars({ size: [0.42, 40], align });
    const series = (name, align) => ({ stroke: () => color(name), fill: () => color(name), width: 0, paths: bars(align), points: { show: false } });
    this.plot = chart(id("latency"), {
      scales: { x: { time: false, range: (u, low, high) => [low - 0.6, high + 0.6] }, y: { range: (u, low, high) => [0, Math.max(high * 1.1, 0.01)] } },
      axes: [
        axis({ incrs: [1, 2, 4, 8], space: 64, size: 26, values: (u, ticks) => ticks.map((t) => (Number.isInteger(t) ? duration(2 ** t / 1e9) : "")) }),
        axis({ size: 44, values: (u, ticks) => ticks.map((t) => percent(t, 0)) }),
      ],
      series: [{}, series("memory", -1), series("miss", 1)],
    }, [[], [], []]);
  }

  show(latency) {
    const [hits, misses] = [octaves(latency.hit), octaves(latency.miss)];
    const all = [...hits.keys(), ...misses.keys()];
    if (all.length) {
      const [low, high] = [Math.min(...all), Math.max(...all)];
      const x = Array.from({ length: high - low + 1 }, (_, at) => low + at);
      this.plot.setData([x, x.map((o) => hits.get(o) ?? 0), x.map((o) => misses.get(o) ?? 0)]);
    }
    for (const kind of ["hit", "miss"]) {
      const { p50, p90, p99, count } = latency[kind];
      const line = count ? `p50 ${duration(p50)}, p90 ${duration(p90)}, p99 ${duration(p99)}` : "none yet";
      text(id(kind + "-quantiles"), line);
    }
  }
}

// Buckets end where they say; their octave is the power of two, in nanoseconds, below.
function octaves({ buckets, count }) {
  const octaves = new Map();
  for (const [end, n] of buckets) {
    const octave = Math.ceil(Math.log2(end * 1e9) - 1e-9) - 1;
    octaves.set(octave, (octaves.get(octave) ?? 0) + n / count);
  }
  return octaves;
}
