"""`python -m tests.mutants python|lua [FILES]`: what was tried, what was noticed, and a list of what was not.

Both kinds go on where an earlier run was stopped. docs/mutants.md tells what is known of the survivors.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from tests.harness import ROOT
from tests.mutants.lua_side import FOLDER, Tried, try_scripts
from tests.mutants.python_side import Mutmut

WORK = ROOT / ".mutants"
PURE = ("worker/unlinking/*.py", "worker/onoffice/*.py")


def main() -> int:
    """0, whatever survived: a list to read, not a gate."""
    options = _options()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file, unless somebody replaced it
    if options.kind == "python":
        _python(options)
    else:
        _lua(options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("kind", choices=("python", "lua"))
    parser.add_argument("files", nargs="*", help="paths of modules, with * and ?; names of scripts. None: all")
    parser.add_argument("--processes", type=int, default=1, help="of mutmut")
    parser.add_argument("--again", action="store_true", help="try mutmut's survivors again, with new tests")
    parser.add_argument(
        "--sample", type=int, default=1_000_000, help="changes of a Lua script at most, chosen at random"
    )
    parser.add_argument("--seed", type=int, default=11, help="of that choice")
    return parser.parse_intermixed_args()


def _python(options: argparse.Namespace) -> None:
    mutmut = Mutmut(WORK / "venv" / "bin" / "mutmut", WORK / "tree")
    mutmut.run(options.files or PURE, options.processes, again=options.again)
    for each in mutmut.survivors():
        print(f"survived  {each.file}:{each.line}  {each.was}  ->  {each.now}")
    print({name: count for name, count in mutmut.counts().items() if count})


def _lua(options: argparse.Namespace) -> None:
    names = [name.removesuffix(".lua").rpartition("/")[2] for name in options.files]
    _tell(try_scripts(names or sorted(path.stem for path in FOLDER.glob("*.lua")), WORK, options.sample, options.seed))


def _tell(tried: Sequence[Tried]) -> None:
    print()
    for each in tried:
        if not each.is_dead:
            print(f"{each.verdict:9} worker/stores/lua/{each.script}.lua:{each.line}  {each.was}  ->  {each.now}")
    by_script = Counter(each.script for each in tried)
    dead = Counter(each.script for each in tried if each.is_dead)
    for script, count in sorted(by_script.items()):
        print(f"{script:14} {dead[script]:4} of {count:4} killed, {dead[script] / count:.0%}")
    if tried:
        killed = sum(dead.values())
        print(f"{len(tried)} tried, {killed} killed, {killed / len(tried):.1%}")


if __name__ == "__main__":
    sys.exit(main())
