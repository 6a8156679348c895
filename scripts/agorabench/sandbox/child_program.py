"""The program inside the sandbox, its tests, and the proof that they have been passed.

Like child_walls a module that the child gets as text together with its own (see child.py).
"""

import os
import sys


def make_guard(home, tests, secret, prove):
    """A hook that hands over the proof when the frame `home` has executed all of `tests`.

    Python never gives away the hooks it has, and this one lets nobody search for it: the token is
    in no frame and no object that the program can get to. A frame that is traced could be made to
    skip its tests, so nobody traces.
    """
    token, frame, write, done = bytes(secret), sys._getframe, os.write, []
    secret[:] = bytes(len(secret))
    watched = {"exec", "sandbox.end", "gc.get_objects", "gc.get_referrers", "gc.get_referents",
               "sys._current_frames", "sys.settrace", "sys.setprofile",
               "sys.monitoring.register_callback"}  # fmt: skip

    def guard(event, arguments):
        if event not in watched:  # first, since every id() comes here
            return
        if event == "exec":
            if arguments[0] is tests and frame(1) is home:
                done.append(True)
        elif event != "sandbox.end":
            raise RuntimeError(f"{event} is not for programs under test")
        elif done and frame(1) is home:
            write(prove, token)

    return guard


def execute_program(order, secret, prove):
    """Run the program, then its tests if it has any, and prove that the end was reached.

    What the program may replace later (os.write, exec, builtins, ...) is taken hold of first.
    """
    import _sitebuiltins
    import atexit
    import builtins
    import types

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")  # site, which makes them, is off
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
    code, tests = order["code"], order["tests"]
    name = "__main__" if tests is None else "solution"
    module = types.ModuleType(name)
    module.__builtins__ = builtins
    sys.modules[name] = module
    sys.argv[:] = ["solution.py"]
    sys.path.insert(0, os.getcwd())
    packages, finder = order["packages"], sys.meta_path[-1]

    class Packages:
        """Finds what the order names, and nothing else that lies beside it."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if path is None and name in packages:
                return finder.find_spec(name, [packages[name]])

    sys.meta_path.append(Packages)
    write, leave, flush = os.write, os._exit, (sys.stdout.flush, sys.stderr.flush)
    show, finish, run, audit = sys.__excepthook__, atexit._run_exitfuncs, exec, sys.audit
    whole, text, kind, stop, empty = int, str, type, SystemExit, MemoryError
    missing, fault, anything, modules = ModuleNotFoundError, Exception, BaseException, sys.modules
    status = 1
    try:
        try:
            if tests is not None:
                names, kept = vars(builtins), dict(vars(builtins))
                restore, forget, choose = names.update, names.clear, test_names
                trusted = import_early(tests)
                tests = compile(tests, "<tests>", "exec", dont_inherit=True)
            code = compile(code, "<solution>", "exec", dont_inherit=True)
            space = vars(module)
            sys.addaudithook(make_guard(sys._getframe(), code if tests is None else tests,
                                        secret, prove))  # fmt: skip
            run(code, space)
            if tests is not None:
                forget()
                restore(kept)
                for path, found, content in trusted:
                    modules[path] = found
                    vars(found).update(content)
                run(tests, choose(tests, space, kept))
            status = 0
        except stop as end:
            # A program may end this way; tests that were left early have not passed.
            value = end.code
            if kind(value) is text:
                sys.stderr.write(value + "\n")
            status = 0 if value is None else value if kind(value) is whole else 1
            if tests is not None:
                sys.stderr.write("SystemExit before the end of the tests\n")
                status = status or 1
        if tests is None:
            if "threading" in modules:
                modules["threading"]._shutdown()
            finish()
    except anything as error:
        status = 1
        if isinstance(error, empty):
            write(prove, b"memory")
        elif isinstance(error, missing):
            write(prove, b"import")
        show(kind(error), error, error.__traceback__ and error.__traceback__.tb_next)
    for call in flush:
        try:  # noqa: SIM105
            call()
        except fault:
            pass
    if status == 0:
        audit("sandbox.end")
    leave(status & 255)


def import_early(tests):
    """Import what the tests import before the program can put something else there; [(name, module,
    what it contains)]."""
    found, left = [], [compile(tests, "<tests>", "exec", 0x400, True)]  # PyCF_ONLY_AST
    while left:
        node = left.pop()
        kind = type(node).__name__
        for part in [getattr(node, field, None) for field in node._fields]:
            left += [one for one in (part if type(part) is list else [part])
                     if hasattr(one, "_fields")]  # fmt: skip
        for path in [one.name for one in node.names] if kind == "Import" else (
            [node.module] if kind == "ImportFrom" and node.module else []):  # fmt: skip
            try:
                __import__(path)
                found.append((path, sys.modules[path], dict(vars(sys.modules[path]))))
            except Exception:  # then it fails where the tests come to it
                pass
    return found


def test_names(tests, space, kept):
    """The names that tests see: the program's, but a builtin is Python's own, unless all that the
    tests ask the program for are names of builtins (a task may want a function `sum`)."""
    used, left = set(), [tests]
    while left:
        part = left.pop()
        used.update(part.co_names)
        left += [value for value in part.co_consts if type(value) is type(part)]
    shadows = {name for name in space if name in kept and not name.startswith("__")}
    if not shadows or not used & (space.keys() - shadows):
        return space
    return {name: value for name, value in space.items() if name not in shadows}
