// Numbers as people read them. What is not known is a dash.

export const DASH = "–";

export function number(n) {
  if (n == null || Number.isNaN(n)) return DASH;
  if (n >= 1e9) return (n / 1e9).toFixed(2) + " G";
  if (n >= 1e6) return (n / 1e6).toFixed(2) + " M";
  if (n >= 1e5) return (n / 1e3).toFixed(0) + " k";
  if (n >= 1e4) return (n / 1e3).toFixed(1) + " k";
  return Number.isInteger(n) || n >= 100 ? Math.round(n).toString() : n.toFixed(1);
}

export function percent(share, digits = 1) {
  return share == null || Number.isNaN(share) ? DASH : (share * 100).toFixed(digits) + " %";
}

export function duration(s) {
  if (s == null || Number.isNaN(s)) return DASH;
  if (s === 0) return "0";
  if (s < 1e-6) return (s * 1e9).toFixed(0) + " ns";
  if (s < 1e-3) return (s * 1e6).toFixed(s < 1e-5 ? 1 : 0) + " µs";
  if (s < 1) return (s * 1e3).toFixed(s < 0.01 ? 1 : 0) + " ms";
  if (s < 60) return s.toFixed(s < 10 ? 1 : 0) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.round((s % 3600) / 60) + " min";
  return (s / 86400).toFixed(1) + " d";
}

export function bytes(n) {
  if (n == null) return DASH;
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (n >= size) return (n / size).toFixed(n >= 100 * size ? 0 : 1) + " " + unit;
  }
  return n + " B";
}

export function clock(millis) {
  return new Date(millis).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function plural(n, word, many = word + "s") {
  return number(n) + " " + (n === 1 ? word : many);
}
