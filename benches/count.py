"""Reads callgrind's output for `count.sh`."""

import sys
from collections import Counter, defaultdict

ALLOCATOR = ("malloc", "free", "realloc", "_int_", "unlink_chunk", "__rdl_", "__rust_")


class Case:
    """What one case has run, by function and by line of code."""

    def __init__(self, path):
        self.total, self.allocator = Counter(), 0
        self.by_function = Counter()
        self.runs = Counter()  # (object, address of a cache line, function) -> most runs
        events, function, called, binary = [], "", False, ""
        for line in open(path, encoding="utf-8", errors="replace"):
            if line.startswith("events:"):
                events = line.split()[1:]
            elif line.startswith("fn="):
                function = line[3:].strip()
            elif line.startswith("ob="):
                binary = line
            elif line.startswith("calls="):
                called = True  # the next line sums up what was called
            elif line.startswith("0x"):
                if called:
                    called = False
                    continue
                fields = line.split()
                cost = dict(zip(events, map(int, fields[2:])))
                ran = cost.get("Ir", 0)
                place = (binary, int(fields[0], 16) >> 6, function)
                self.runs[place] = max(self.runs[place], ran)
                if function.startswith(ALLOCATOR):
                    self.allocator += ran
                    continue
                self.total.update(cost)
                self.by_function[function] += ran

    def lines(self, requests):
        """Cache lines of code that most requests run."""
        often = [place for place, runs in self.runs.items() if runs >= requests * 0.3]
        functions = defaultdict(set)
        for binary, line, function in often:
            functions[function].add((binary, line))
        return {place[:2] for place in often}, functions


def table(requests, cases):
    heads = ("instr.", "ratio", "allocator", "code KB", "I1", "D1", "LL", "branches")
    print(f"{'':<22}" + "".join(f"{head:>10}" for head in heads))
    base = None
    for name, path in cases:
        case = Case(path)
        of = {event: sum / requests for event, sum in case.total.items()}
        base = base or of["Ir"]
        code = len(case.lines(requests)[0]) * 64 / 1024
        numbers = (
            f"{of['Ir']:.0f}",
            f"{of['Ir'] / base:.2f}",
            f"{case.allocator / requests:.0f}",
            f"{code:.1f}",
            f"{of['I1mr']:.0f}",
            f"{of['D1mr'] + of['D1mw']:.0f}",
            f"{of['ILmr'] + of['DLmr'] + of['DLmw']:.1f}",
            f"{of['Bcm'] + of['Bim']:.0f}",
        )
        print(f"{name:<22}" + "".join(f"{number:>10}" for number in numbers))


def functions(requests, case):
    lines = case.lines(requests)[1]
    print(f"{'lines':>6}{'instr.':>8}  function")
    for function in sorted(lines, key=lambda f: -len(lines[f]))[:50]:
        ran = case.by_function[function] / requests
        print(f"{len(lines[function]):>6}{ran:>8.0f}  {function[:120]}")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--functions"]
    requests = int(arguments[0])
    cases = [tuple(argument.rsplit("=", 1)) for argument in arguments[1:]]
    table(requests, cases)
    if "--functions" in sys.argv:
        functions(requests, Case(cases[0][1]))


main()
