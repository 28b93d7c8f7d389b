// What the checks share: results, deadlines, and processes of their own.

import { spawn } from "node:child_process";
import { createServer } from "node:net";

export function check(holds, claim, otherwise = "") {
  console.log(`${holds ? "ok  " : "FAIL"} ${claim}`);
  if (holds) return;
  if (otherwise) console.log("     " + otherwise.replaceAll("\n", "\n     "));
  process.exitCode = 1;
}

// Waits for something to be so, with a deadline.
export async function settled(claim, is, longest = 10_000) {
  const end = Date.now() + longest;
  for (;;) {
    if (await is()) return check(true, claim);
    if (Date.now() > end) return check(false, claim, `not within ${longest / 1000} s`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

// Starts a program and waits until it says that it is ready.
export async function launch(path, args, ready, started) {
  const child = spawn(path, args.map(String), { stdio: ["ignore", "pipe", "inherit"] });
  started.push(child);
  await new Promise((done, failed) => {
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
      if (said.includes(ready)) done();
    });
    child.on("error", failed);
    child.on("exit", (status) => failed(new Error(`${path} ended with ${status}: ${said}`)));
  });
  return child;
}
