// Checks the admin page in a real browser. Started by tests/dashboard.sh.

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { check, launch, freePort, settled } from "./support.mjs";

const [modules, browserPath, redisPath, example, ...options] = process.argv.slice(2);
const require = createRequire(resolve(modules) + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const TOKEN = "only-for-the-example";
const scratch = mkdtempSync(join(tmpdir(), "larder-dashboard-"));
const started = [];

async function redisServer(port) {
  const args = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", scratch, "--maxmemory", "100mb"];
  return launch(redisPath, args, "eady to accept", started);
}

async function site(redisPort, endpoints, rate = 100) {
  const port = await freePort();
  const args = ["--port", port, "--redis", `redis://127.0.0.1:${redisPort}`, "--endpoints", endpoints, "--rate", rate];
  await launch(example, args, "token", started);
  return `http://127.0.0.1:${port}`;
}

// A page, and all that its console says.
async function open(browser, origin, settings = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...settings });
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) said.push("an outside request: " + request.url());
  });
  await page.goto(origin + "/admin/cache");
  return { page, said, context };
}

async function signIn(page, token = TOKEN) {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.keyboard.press("Enter");
}

async function figures(browser, origin, settings) {
  const opened = await open(browser, origin, settings);
  await signIn(opened.page);
  await opened.page.locator("#figures").waitFor();
  await opened.page.locator("#endpoints tbody tr").first().waitFor();
  return opened;
}

const text = (page, name) => page.locator("#" + name).textContent();

async function accessible(page, where) {
  // by the debugger, for the page's own policy lets no script of others in
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ")}`);
  check(found.length === 0, `${where} has no accessibility violations`, found.join("\n"));
}

async function fits(page, where) {
  const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(wide <= inner, `${where} does not scroll sideways`, `${wide} > ${inner}`);
}

async function signsInAndIsLive(browser, origin) {
  const { page, said, context } = await open(browser, origin);
  await page.locator("#sign-in").waitFor();
  await accessible(page, "the sign-in");
  check(said.length === 0, "nothing is asked for without a token, and nothing said", said.join("\n"));
  await signIn(page, "a wrong token, long enough");
  await settled("a wrong token is refused", async () => (await text(page, "token-error")) !== "");
  said.length = 0; // the browser tells of the 401
  await signIn(page);
  await page.locator("#figures").waitFor();
  check((await text(page, "whose")).includes("of this process"), "figures say whose they are", await text(page, "whose"));
  const before = await text(page, "rps-sub");
  await settled("figures change by themselves", async () => (await text(page, "rps-sub")) !== before);
  check((await text(page, "status")) === "ok", "the status is ok", await text(page, "status"));
  await page.reload();
  await page.locator("#figures").waitFor();
  check(said.length === 0, "the token outlives a reload, and the console is silent", said.join("\n"));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("#sign-in").waitFor();
  check(await page.evaluate(() => sessionStorage.length === 0), "signing out forgets the token");
  await context.close();
}

async function invalidatesAfterACount(page) {
  await page.getByRole("button", { name: "Invalidate the endpoint characters", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Invalidate" });
  await dialog.waitFor();
  const go = page.locator("#inv-go");
  check(await go.isDisabled(), "nothing can be invalidated before it was counted");
  await accessible(page, "the dialog");
  await dialog.getByRole("button", { name: "Count first" }).click();
  await settled("a dry run is counted", async () => /\d+ entr(y|ies) would go/.test(await text(page, "inv-result")));
  check(/Invalidate [1-9]/.test(await go.textContent()), "the button says how many", await go.textContent());
  check((await page.locator("#invalidations").textContent()) === "None yet. ", "the dry run invalidated nothing", await page.locator("#invalidations").textContent());
  await page.locator("#inv-value").fill("characters ");
  check(await go.isDisabled(), "another choice must be counted anew");
  await page.locator("#inv-value").fill("characters");
  await dialog.getByRole("button", { name: "Count first" }).click();
  await settled("it is counted again", async () => go.isEnabled());
  await go.click();
  await settled("it is done", async () => /Done: [1-9]/.test(await text(page, "inv-result")));
  await page.keyboard.press("Escape");
  await settled("the list shows it", async () => /endpointcharacters|endpoint characters/.test(await page.locator("#invalidations").textContent()));
}

async function warmsExplainsAndSwitches(page, origin) {
  await page.getByRole("button", { name: "Warm", exact: true }).click();
  await page.locator("#warm-targets").fill("/characters/5001\n/characters/5002");
  await page.locator("#warm-host").fill("example.test");
  await page.locator("#warm").getByRole("button", { name: "Warm" }).click();
  await settled("it warms", async () => (await text(page, "warm-result")).startsWith("2 filled"));
  await page.locator("#warm [data-close]").click();

  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator("#explain-url").fill("http://example.test/characters/5001");
  await page.keyboard.press("Enter");
  await settled("it explains", async () => (await text(page, "explain-result")).includes("hit (memory)"));
  await page.locator("#explain-url").fill("http://example.test/characters/<img src=x onerror=alert(1)>");
  await page.keyboard.press("Enter");
  await settled("what makes no sense is said", async () => (await page.locator("#explain-result.bad").count()) === 1);
  check((await page.locator("#explain img").count()) === 0, "what comes from outside is no markup");
  await page.locator("#explain [data-close]").click();

  await page.getByRole("button", { name: "Switch off" }).click();
  await page.locator("#switch-go").click();
  await settled("it is off", async () => (await text(page, "status")) === "off");
  await page.getByRole("button", { name: "Switch on" }).click();
  await page.locator("#switch-go").click();
  await settled("it is on", async () => (await text(page, "status")) === "ok");
}

const names = (page) => page.locator("#endpoints tbody td:first-child").allTextContents();

async function sortsAndSearches(page) {
  const head = page.locator('th[data-key="name"]');
  await head.getByRole("button").focus();
  await page.keyboard.press("Enter");
  check((await head.getAttribute("aria-sort")) === "ascending", "a column is sorted by keyboard");
  const all = await names(page);
  check(all.length === 200, "all endpoints are there", String(all.length));
  check(all.every((name, at) => at === 0 || all[at - 1].localeCompare(name) <= 0), "the table is sorted by name");
  await page.keyboard.press("Enter");
  check((await head.getAttribute("aria-sort")) === "descending", "and the other way round");
  await page.locator("#search").fill("prices-1");
  const found = await names(page);
  check(found.length > 0 && found.every((name) => name.includes("prices-1")), "a search finds by name", found.join());
  await page.locator("#search").fill("nothing of the kind");
  check(await page.locator("#endpoints-empty").isVisible(), "a search that finds nothing says so");
  await page.locator("#search").fill("");
}

async function goesByKeyboard(page) {
  await page.locator(".skip").focus();
  const seen = new Set();
  for (let n = 0; n < 16; n++) {
    const [what, outlined] = await page.evaluate(() => {
      const now = document.activeElement;
      return [now.id || now.textContent.trim(), getComputedStyle(now).outlineStyle !== "none"];
    });
    check(outlined, `the focus shows on ${what}`);
    seen.add(what);
    await page.keyboard.press("Tab");
  }
  for (const what of ["Invalidate", "Warm", "Explain", "theme", "search"]) {
    check(seen.has(what), `the keyboard reaches ${what}`, [...seen].join(", "));
  }
  await page.locator("#theme").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  check((await page.evaluate(() => document.documentElement.dataset.theme)) === "dark", "the theme can be chosen");
  await accessible(page, "the page in the dark");
  await page.keyboard.press("Enter");
}

async function showsAnOutage(page, stop, restart) {
  await stop();
  await settled("an outage shows", async () => page.locator("#outage").isVisible(), 20_000);
  check(/does not answer since \d\d:\d\d:\d\d/.test(await text(page, "outage")), "it says since when", await text(page, "outage"));
  await settled("the status is degraded", async () => (await text(page, "status")) === "degraded");
  check((await page.locator("#store-card.unknown").count()) === 1, "what is not known is greyed");
  check((await text(page, "store-facts")).includes("not known"), "and said not to be known");
  await accessible(page, "the page in an outage");
  await restart();
  await settled("its end shows", async () => page.locator("#outage").isHidden(), 20_000);
}

async function saysHowOldItIs(page, example) {
  example.kill("SIGSTOP");
  try {
    await settled("a stream that stalls shows", async () => /figures are \d+ s old/.test(await text(page, "live")), 15_000);
    check(await page.evaluate(() => document.body.classList.contains("old")), "and greys the figures");
  } finally {
    example.kill("SIGCONT");
  }
  await settled("it goes on", async () => (await text(page, "live")) === "live", 15_000);
}

async function pictures(browser, origin) {
  for (const colorScheme of ["light", "dark"]) {
    const { page, context } = await figures(browser, origin, { colorScheme, viewport: { width: 1280, height: 1240 } });
    await page.waitForTimeout(75_000); // for the charts to have something
    await page.screenshot({ path: `docs/dashboard-${colorScheme}.png` });
    await context.close();
  }
}

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: browserPath, args });
try {
  const redisPort = await freePort();
  let redis = await redisServer(redisPort);
  const one = await site(redisPort, 1, 50);
  const many = await site(redisPort, 200, 100);
  const server = started.at(-1);
  if (options.includes("--pictures")) await pictures(browser, await site(redisPort, 24, 150));

  await signsInAndIsLive(browser, one);
  const phone = await figures(browser, one, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await fits(phone.page, "a phone, with one endpoint,");
  await accessible(phone.page, "a phone");
  await phone.context.close();

  const { page, said } = await figures(browser, many);
  await settled("200 endpoints", async () => (await names(page)).length === 200, 60_000);
  await fits(page, "the page with 200 endpoints");
  await page.setViewportSize({ width: 360, height: 740 });
  await fits(page, "a phone, with 200 endpoints,");
  await page.setViewportSize({ width: 1440, height: 900 });
  await accessible(page, "the page");
  await sortsAndSearches(page);
  await goesByKeyboard(page);
  await invalidatesAfterACount(page);
  await warmsExplainsAndSwitches(page, many);
  said.splice(0, said.length, ...said.filter((line) => !line.includes("400 (Bad Request)"))); // asked for
  await showsAnOutage(
    page,
    async () => { redis.kill("SIGKILL"); await once(redis, "exit"); },
    async () => { redis = await redisServer(redisPort); },
  );
  await saysHowOldItIs(page, server);
  check(said.length === 0, "the console is silent", said.join("\n"));
} catch (error) {
  check(false, "the run came to its end", error.stack);
} finally {
  await browser.close();
  for (const child of started) child.kill("SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(process.exitCode ?? 0);
