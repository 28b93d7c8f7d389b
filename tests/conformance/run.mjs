// Runs the suite against the gateway and judges the results.
//
//   node run.mjs SUITE GATEWAY [OPTION ..]
//
// The suite's origin and its client run in this process, the gateway is the
// only child. All ports are the system's choice.

import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { report, reportOne } from './score.mjs'

const DEADLINE = 300_000
const START_DEADLINE = 30_000
const BROKEN = 2

const [suiteDir, gateway, ...options] = process.argv.slice(2)
const only = process.env.TEST_ID
const part = async file => import(pathToFileURL(path.resolve(suiteDir, file)).href)

/** The suite's own handlers, on loopback alone. */
async function startOrigin () {
  const handlers = {
    config: (await part('server/handle-config.mjs')).default,
    state: (await part('server/handle-state.mjs')).default,
    test: (await part('server/handle-test.mjs')).default
  }
  const server = createServer((request, response) => {
    const [kind, ...rest] = new URL(request.url, 'http://origin').pathname.slice(1).split('/')
    if (Object.hasOwn(handlers, kind)) return handlers[kind](rest, request, response)
    response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${server.address().port}`
}

/** Starts the gateway and waits until it tells where it listens. */
async function startGateway (origin) {
  const args = ['--listen', '127.0.0.1:0', '--origin', origin, '--store-set-cookie', ...options]
  const child = spawn(gateway, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  process.on('exit', () => child.kill('SIGKILL'))
  const ended = once(child, 'exit').then(([code]) => { throw new Error(`the gateway ended with ${code}`) })
  const told = async () => {
    for await (const line of createInterface(child.stdout)) {
      const found = /^listening on (http:\S+)$/.exec(line)
      if (found) return found[1]
    }
    return ended
  }
  const address = await Promise.race([told(), ended, late(START_DEADLINE, 'the gateway did not start')])
  return { address, child, ended }
}

async function stop ({ child, ended }) {
  child.kill('SIGTERM')
  await Promise.race([ended, late(START_DEADLINE, '')]).catch(() => {})
}

function late (milliseconds, what) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${what} within ${milliseconds / 1000} s`)), milliseconds).unref()
  })
}

/** The test suites by name, with the one that stands outside the index. */
async function definitions () {
  const index = (await part('tests/index.mjs')).default
  const outside = (await part('tests/surrogate-control.mjs')).default
  return [...index, outside]
}

function chosen (suites) {
  if (!only) return suites
  const tests = suites.flatMap(suite => suite.tests).filter(test => test.id === only && !test.browser_only)
  if (tests.length === 0) throw new Error(`TEST_ID: there is no test ${only}`)
  for (const test of tests) test.dump = true
  return [{ name: only, id: only, tests }]
}

async function main () {
  const suites = await definitions()
  const asked = chosen(suites)
  const origin = await startOrigin()
  const running = await startGateway(origin)
  const { runTests, getResults } = await part('client/runner.mjs')
  const fetch = createRequire(path.resolve(suiteDir, 'package.json'))('node-fetch')
  const log = console.log
  if (!only) console.log = () => {} // the origin tells of every 404, and so do the results
  const run = runTests(asked, fetch, false, running.address)
  await Promise.race([run, running.ended, late(DEADLINE, 'the suite did not end')])
  await stop(running)
  const results = getResults()
  return only ? reportOne({ id: only, suites, results, log }) : report({ suites, results, log })
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(BROKEN))
main().then(
  passed => process.exit(passed ? 0 : 1),
  error => {
    console.error(`conformance: ${error.message}`)
    process.exit(BROKEN)
  }
)
