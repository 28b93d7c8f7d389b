// From the suite's results to a verdict.
//
// 1. A test passes if the suite says so and every test it depends on passes.
// 2. Only the tests of required.txt and optimal.txt count: those whose meaning
//    is the same in the suite's current edition, which npm does not have.
// 3. Of these, one that does not pass must stand in may-fail.txt.

import fs from 'node:fs'

const KINDS = ['required', 'optimal', 'check']

/** Prints the totals and what failed; whether nothing failed that must not. */
export function report ({ suites, results, log }) {
  const tests = runnable(suites)
  const failure = judge(tests, results)
  const mayFail = exceptions()
  const counted = { required: list('required.txt'), optimal: list('optimal.txt') }
  const listed = new Set(Object.values(counted).flat())

  const unexpected = Object.entries(counted).flatMap(([kind, ids]) => {
    const failed = ids.filter(failure)
    for (const id of failed) {
      const excuse = mayFail.has(id) ? ` (may fail: ${mayFail.get(id)})` : ''
      log(`FAILED ${kind} ${id}: ${failure(id)}${excuse}`)
    }
    return failed.filter(id => !mayFail.has(id))
  })
  for (const { id, kind } of tests.values()) {
    if (!listed.has(id) && kind !== 'check' && failure(id)) log(`not counted, ${kind} ${id}: ${failure(id)}`)
  }
  for (const id of mayFail.keys()) {
    if (!listed.has(id)) log(`NOTE may-fail.txt: ${id} is on neither list`)
    else if (!failure(id)) log(`NOTE may-fail.txt: ${id} passes now and can go`)
  }

  const passed = ids => `${ids.filter(id => !failure(id)).length} of ${ids.length}`
  const all = kind => [...tests.values()].filter(test => test.kind === kind).map(test => test.id)
  for (const [kind, ids] of Object.entries(counted)) log(`${kind}: ${passed(ids)}`)
  const parts = KINDS.map(kind => `${kind} ${passed(all(kind))}`)
  log(`npm edition: ${passed([...tests.keys()])} (${parts.join(', ')})`)
  if (unexpected.length > 0) log(`failed and not in tests/conformance/may-fail.txt: ${unexpected.length}`)
  return unexpected.length === 0
}

/** Prints what became of one test; whether it passed, whatever it depends on. */
export function reportOne ({ id, suites, results, log }) {
  const why = reason(results[id])
  const { needs } = runnable(suites).get(id)
  log(`${id}: ${why ?? 'passed'}${needs.length > 0 ? `; counts if these pass: ${needs.join(', ')}` : ''}`)
  return !why
}

/** The tests that a proxy can be asked, by id. */
function runnable (suites) {
  const tests = suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)
  return new Map(tests.map(test => [test.id, { id: test.id, kind: test.kind ?? 'required', needs: test.depends_on ?? [] }]))
}

/** A function that tells why a test did not pass, or nothing if it did. */
function judge (tests, results) {
  const known = new Map()
  const find = id => {
    const test = tests.get(id)
    if (!test) return 'there is no such test'
    const missing = test.needs.filter(failure)
    return missing.length > 0 ? `depends on ${missing.join(', ')}` : reason(results[id])
  }
  const failure = id => {
    if (!known.has(id)) known.set(id, find(id))
    return known.get(id)
  }
  return failure
}

function reason (result) {
  if (result === true) return undefined
  if (result === undefined) return 'did not run'
  const [kind, message] = result
  switch (kind) {
    case 'Assertion': return message
    case 'Setup': return message === 'retry' ? 'a request was repeated' : `before the point of the test: ${message}`
    case 'AbortError': return 'no answer within 10 s'
    default: return `${kind}: ${message}`
  }
}

/** `test-id  reason` a line. */
function exceptions () {
  return new Map(list('may-fail.txt').map(line => {
    const [, id, reason] = /^(\S+)\s+(\S.*)$/.exec(line) ?? []
    if (!id) throw new Error(`may-fail.txt: a line is "test-id  reason", not ${JSON.stringify(line)}`)
    return [id, reason]
  }))
}

function list (name) {
  const lines = fs.readFileSync(new URL(name, import.meta.url), 'utf8').split('\n').map(line => line.trim())
  return lines.filter(line => line && !line.startsWith('#'))
}
